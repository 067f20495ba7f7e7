public import Baton
public import BatonWire

/// Why a migration does not come about: its name for programs, a sentence for people.
public struct MigrationFailure: Error, Hashable, Sendable, CustomStringConvertible {
  public var refusal: Refusal
  /// What was attempted on what and why it failed; the guest's state is added by whoever knows it.
  public var text: String
  /// Whether the peer said it.
  public var isPeers: Bool

  public init(_ refusal: Refusal, _ text: String, isPeers: Bool = false) {
    self.refusal = refusal
    self.text = isPeers ? PeerText.visible(text, limit: Self.mostOfPeer) : text
    self.isPeers = isPeers
  }

  public var description: String { text }

  /// How much a peer may have to say.
  private static let mostOfPeer = 1024
}

extension MigrationFailure {
  /// What a guest needs cannot be had at the target.
  public static func noRoom(_ why: String) -> MigrationFailure {
    MigrationFailure(.noRoom, "the target has no room for the guest: \(why)")
  }

  /// What the target's registry said.
  public init(_ error: BatonError) {
    switch error {
    case .refused(let refusal, let text): self.init(refusal, "the target's registry refuses: \(text)")
    case .unacceptable(let refusal, let text): self.init(refusal, text)
    case .registryUnreachable, .system, .malformed, .badState:
      self.init(.successorDeclined, "the target's registry: \(error)")
    }
  }
}
