public import BatonWire

extension GuestMachine {
  /// What of a guest in handoff outlived the registry that held it, beside the journal: descriptors in the
  /// service manager's store, what they are, and what was staged.
  public struct Held: Hashable, Sendable {
    public var custody: Custody
    public var manifest: Manifest
    public var stage: Stage

    public init(custody: Custody, manifest: Manifest, stage: Stage) {
      self.custody = custody
      self.manifest = manifest
      self.stage = stage
    }
  }

  /// Goes on with what outlived the restart, as if the source had presented it again (R21).
  mutating func take(_ held: Held) {
    switch record.phase {
    case .staged, .claimed, .rollback:
      custody = held.custody
      manifest = held.manifest
      stage = held.stage
    case .idle, .lost, .ended, .departing, .departed, .arriving: break
    }
  }
}
