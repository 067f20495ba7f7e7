import BatonWire

extension GuestMachine {
  /// What the registry holds for the guest while a handoff lasts.
  public struct Custody: Hashable, Sendable {
    public var hasRAM = false
    public var hasState = false
    /// The source's VM: the one that has the guest's context when it is staged.
    public var hasVM = false
    /// Way `move`: the VM into which the source takes back.
    public var hasTakeBackVM = false
    /// Way `move`: VMs that a claimant brought back with the baton.
    public var hasReturnedVMs = false
    /// Way `move`: successors whose VMs are held, dead or alive.
    public var successors: Set<ProcessID> = []

    public init() {}
  }

  /// Whether what a claimant needs is there.
  var hasDescriptors: Bool { custody.hasState && hasAllButState }

  private var hasAllButState: Bool {
    guard custody.hasRAM else { return false }
    switch record.way {
    case .token, .none: return true
    case .move: return custody.hasVM || custody.hasReturnedVMs
    }
  }

  /// Whether a next claimant can have the guest although its owner is dead.
  var canOutliveOwner: Bool { hasDescriptors && (record.way != .token || custody.hasVM) }

  /// Whether that will be so with the state that comes last.
  var willOutliveOwner: Bool { hasAllButState && (record.way != .token || custody.hasVM) }

  /// Whether the claimant's death leaves the guest to somebody (R43, R46).
  var canOutliveClaimant: Bool {
    guard let claimant = record.claimant, hasDescriptors else { return false }
    switch record.way {
    case .none: return true
    case .move: return custody.successors.contains(claimant)
    case .token: return false
    }
  }

  /// The source's descriptors: an offer, or a stage (again) with everything that was offered.
  mutating func keepSourceDescriptors(_ manifest: Manifest, bringsTakeBackVM: Bool, state: Bool) {
    custody.hasRAM = true
    custody.hasVM = manifest.hasVM
    custody.hasTakeBackVM = bringsTakeBackVM
    if state { custody.hasState = true }
    self.manifest = manifest
    effects.append(.keepDescriptors)
  }

  /// The sealed state memfd alone.
  mutating func keepState() {
    custody.hasState = true
    effects.append(.keepDescriptors)
  }

  /// What a claimant brings back: all that it had got.
  mutating func keepReturnedDescriptors(_ manifest: Manifest) {
    custody.hasRAM = true
    custody.hasState = true
    switch record.way {
    case .token, .none: custody.hasVM = manifest.hasVM
    case .move: custody.hasReturnedVMs = true
    }
    self.manifest = manifest
    effects.append(.keepDescriptors)
  }

  /// Way `move` with custody: a successor's VM, from which the context can be moved back after its death.
  mutating func keepSuccessorVM(_ process: ProcessID) {
    guard record.way == .move else { return }
    custody.successors.insert(process)
    effects.append(.keepDescriptors)
  }

  /// R39, R44: which VMs a process gets that is to take the context.
  func grant(to process: ProcessID) -> VMGrant {
    var grant = VMGrant()
    guard record.way == .move else { return grant }
    let isSource = process == record.owner
    grant.staged = custody.hasVM && !isSource
    grant.takeBack = custody.hasTakeBackVM && !isSource && isSeenDead(record.owner)
    grant.returned = custody.hasReturnedVMs
    grant.successors = custody.successors.filter { $0 != process && dead.contains($0) }.sorted()
    return grant
  }

  /// Sends a claim or an order to take back, with the VMs that the taker may have.
  mutating func give(_ message: RegistryMessage, to process: ProcessID) {
    switch record.way {
    case .token, .none: send(message, to: process)
    case .move: effects.append(.give(message, grant(to: process), to: process))
    }
  }
}
