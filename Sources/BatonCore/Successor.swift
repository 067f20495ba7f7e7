public import BatonWire

/// The side of a VMM that does not own the guest yet.
///
/// Pure. It writes no guest RAM and runs nothing before the verdict `run`.
public struct Successor: Hashable, Sendable {
  public enum State: Hashable, Sendable {
    /// Waits for an offer, or as the first owner for the verdict.
    case attached
    /// RAM of this handoff is checked and mapped, VM and vCPUs are made.
    case prepared(UInt64)
    /// Has the baton and has not used it.
    case claiming(UInt64)
    /// Has the context; waits for the verdict.
    case received(UInt64)
    /// Came back without the context: nil when the baton was used, else what was given back.
    case refused(UInt64, returned: Stage?)
    /// Has the verdict to run.
    case running(epoch: UInt64)
    case released
  }

  public private(set) var state = State.attached
  /// Insists on being the first owner.
  public let isFresh: Bool
  /// Wants the guest only where somebody has it.
  public let neverBegins: Bool
  private var stage: Stage?

  public init(isFresh: Bool = false, neverBegins: Bool = false) {
    self.isFresh = isFresh
    self.neverBegins = neverBegins
  }

  public enum Action: Hashable, Sendable {
    /// Check and map the RAM, make VM and vCPUs, then call ``Successor/prepared(_:)``.
    case prepare(UInt64, Manifest, isGuestStopped: Bool)
    /// Receive the context and restore the state, then call one of ``Successor/received()``,
    /// ``Successor/foundUsed()``, ``Successor/returnedBaton()``.
    case claim(UInt64, Stage)
    /// Run the guest: a fresh one, or from what was received.
    case run(epoch: UInt64, isFresh: Bool)
    case release(Refusal?)
  }

  /// Takes an order; nil when it is old or does not fit, and so changes nothing.
  public mutating func take(_ order: RegistryMessage) -> Action? {
    switch order {
    case .offered(let handoff, let manifest, let isGuestStopped):
      switch state {
      case .attached, .prepared: return .prepare(handoff, manifest, isGuestStopped: isGuestStopped)
      case .claiming, .received, .refused, .running, .released: return nil
      }
    case .claim(let handoff, let stage):
      guard state == .prepared(handoff) else { return nil }
      state = .claiming(handoff)
      self.stage = stage
      return .claim(handoff, stage)
    case .run(let epoch):
      switch state {
      case .received:
        state = .running(epoch: epoch)
        return .run(epoch: epoch, isFresh: false)
      case .attached:
        state = .running(epoch: epoch)
        return .run(epoch: epoch, isFresh: true)
      case .prepared, .claiming, .refused, .running, .released: return nil
      }
    case .release(let refusal):
      state = .released
      return .release(refusal)
    case .welcome, .prepare, .freeze, .takeBack, .refusal, .preflight, .migrate, .depart, .cancelMigration,
      .arrivalJournalled:
      return nil
    }
  }

  // MARK: What the VMM did

  public mutating func prepared(_ handoff: UInt64) -> VMMMessage {
    state = .prepared(handoff)
    return .ready(handoff: handoff)
  }

  /// The context is here and the state restored.
  public mutating func received() -> VMMMessage {
    guard case .claiming(let handoff) = state else { preconditionFailure("nothing was claimed") }
    state = .received(handoff)
    return .received(handoff: handoff)
  }

  /// The kernel says that the baton was used.
  public mutating func foundUsed() -> VMMMessage {
    guard case .claiming(let handoff) = state else { preconditionFailure("nothing was claimed") }
    state = .refused(handoff, returned: nil)
    return .refused(handoff: handoff, used: true)
  }

  /// The successor gives the baton back unused.
  public mutating func returnedBaton() -> VMMMessage {
    guard case .claiming(let handoff) = state else { preconditionFailure("nothing was claimed") }
    state = .refused(handoff, returned: stage)
    return .refused(handoff: handoff, used: false)
  }

  /// What the first record of a new connection says; nil when the process is no successor any more.
  public var standing: Standing? {
    switch state {
    case .attached: isFresh ? .fresh : .attached(prepared: neverBegins ? Standing.neverBegins : 0)
    case .prepared(let handoff): .attached(prepared: handoff)
    case .claiming(let handoff): .claiming(handoff)
    case .received(let handoff): .received(handoff)
    case .refused(let handoff, let returned): .refused(handoff, returned: returned)
    case .running, .released: nil
    }
  }
}
