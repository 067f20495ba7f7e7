public import BatonWire

/// The owner's side of a handoff: what it may do by itself and what only an order allows.
///
/// Pure. While it is frozen, and after the context was given up as long as `stage` has not left the
/// process, the source may go on by itself; once `stage` was sent only orders count.
public struct Source: Hashable, Sendable {
  public enum State: Hashable, Sendable {
    /// Runs the guest.
    case running
    /// The guest is stopped; nothing was given up.
    case frozen
    /// LOCAL_SEND was done (way `token`); `stage` has not left the process.
    case contextSent
    /// `stage` was sent, acknowledged or not.
    case staged
    /// The context is in a VM of this process again; the verdict is awaited.
    case tookBack
    /// Told to give up everything.
    case released
  }

  /// Of the last offer; before the first one, of what travels with the guest.
  public private(set) var way: Way
  public private(set) var state: State
  public private(set) var epoch: UInt64
  /// The attempt this source was last asked about; 0 before the first.
  public private(set) var handoff: UInt64
  /// Whether the guest was offered in that attempt: without its offer there is nothing that could be staged.
  private var isOffered = false
  private var stage: Stage?

  /// An owner that runs the guest in this epoch.
  public init(way: Way, epoch: UInt64) {
    self.way = way
    self.epoch = epoch
    state = .running
    handoff = 0
  }

  /// What an order of the registry asks of the VMM.
  public enum Action: Hashable, Sendable {
    /// Make the take-back VM and an empty state memfd, then answer with the offer.
    case prepare(UInt64)
    /// Stop the vCPUs, save, give the context up, stage.
    case freeze(UInt64)
    /// Let the guest go on in place, then say `resumed`. `takeContextBack` says that the context
    /// must be received into the take-back VM first.
    case goOn(UInt64, takeContextBack: Bool)
    /// Already running: say `resumed`.
    case sayResumed(UInt64)
    /// Receive the context into the take-back VM, then call ``Source/tookBack(_:)``.
    case takeBack(UInt64)
    case sayTookBack(UInt64)
    /// Run the guest from the staged state.
    case run(epoch: UInt64)
    /// Running already: say `running`.
    case sayRunning(epoch: UInt64)
    case release(Refusal?)
  }

  /// Takes an order; nil when it is old or does not fit, and so changes nothing.
  public mutating func take(_ order: RegistryMessage) -> Action? {
    switch order {
    case .prepare(let handoff):
      guard state == .running, handoff > self.handoff else { return nil }
      self.handoff = handoff
      isOffered = false
      return .prepare(handoff)
    case .freeze(let handoff):
      guard state == .running, isOffered, handoff == self.handoff else { return nil }
      return .freeze(handoff)
    case .takeBack(let handoff):
      guard handoff == self.handoff else { return nil }
      return takeBack(handoff)
    case .run(let epoch): return run(epoch)
    case .release(let refusal):
      state = .released
      return .release(refusal)
    case .welcome, .offered, .claim, .refusal, .preflight, .migrate, .depart, .cancelMigration,
      .arrivalJournalled:
      return nil
    }
  }

  private mutating func takeBack(_ handoff: UInt64) -> Action? {
    switch state {
    case .running:
      isOffered = false
      return .sayResumed(handoff)
    case .frozen: return .goOn(handoff, takeContextBack: false)
    case .contextSent: return .goOn(handoff, takeContextBack: way == .token)
    case .staged: return way == .none ? nil : .takeBack(handoff)
    case .tookBack: return .sayTookBack(handoff)
    case .released: return nil
    }
  }

  private mutating func run(_ epoch: UInt64) -> Action? {
    guard epoch > self.epoch else {
      return state == .running && epoch == self.epoch ? .sayRunning(epoch: epoch) : nil
    }
    switch state {
    case .running:
      self.epoch = epoch
      return .sayRunning(epoch: epoch)
    case .tookBack:
      self.epoch = epoch
      state = .running
      return .run(epoch: epoch)
    case .staged where way == .none:
      self.epoch = epoch
      state = .running
      return .run(epoch: epoch)
    case .staged, .frozen, .contextSent, .released: return nil
    }
  }

  // MARK: What the VMM did

  /// The guest is offered in the attempt it was last asked about, this way.
  public mutating func offered(way: Way) {
    precondition(state == .running, "only a running guest is offered")
    self.way = way
    isOffered = true
  }

  /// The vCPUs stand still.
  public mutating func froze() {
    precondition(state == .running && isOffered, "only a running guest that was offered can be frozen")
    state = .frozen
    isOffered = false
  }

  /// LOCAL_SEND returned a token.
  public mutating func gaveUpContext() {
    precondition(state == .frozen, "the context is given up by a frozen source only")
    state = .contextSent
  }

  /// `stage` is about to leave the process; whether it arrives no longer matters.
  public mutating func staged(_ stage: Stage) {
    precondition(state == .frozen || state == .contextSent, "only a frozen source can stage")
    self.stage = stage
    state = .staged
  }

  /// The guest goes on in place, by order or alone.
  public mutating func wentOn() {
    precondition(state == .frozen || state == .contextSent, "a staged source cannot go on by itself")
    state = .running
  }

  /// How the attempt to take the context back ended; the answer to the registry.
  public mutating func tookBack(_ succeeded: Bool) -> VMMMessage {
    guard succeeded else { return .used(handoff: handoff) }
    state = .tookBack
    return .tookBack(handoff: handoff)
  }

  /// What the first record of a new connection says; nil while the source is frozen and has not
  /// staged: then it lets the guest go on first.
  public var standing: Standing? {
    switch state {
    case .running: .running(epoch)
    case .frozen, .contextSent, .released: nil
    case .staged: stage.map { .staged(handoff, $0) }
    case .tookBack: .tookBack(handoff)
    }
  }
}
