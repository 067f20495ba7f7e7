public import BatonWire

/// The owner's side of giving the guest to another host, from the moment that it stands still for good.
///
/// Pure. From here on nothing but an order lets this process run the guest, and nothing but an order lets it give
/// the guest up.
public struct Departure: Hashable, Sendable {
  /// Where it stands, as a first record says it.
  public private(set) var departing: Departing
  private var reason: (refusal: Refusal, text: String)?

  /// An owner whose guest stands still, and whose peer has all of it.
  public init(id: MigrationID, lock: DepartureLock, epoch: UInt64, peer: String) {
    departing = Departing(id: id, lock: lock, epoch: epoch, peer: peer, step: .asking)
  }

  public static func == (a: Self, b: Self) -> Bool {
    a.departing == b.departing && a.reason?.refusal == b.reason?.refusal && a.reason?.text == b.reason?.text
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(departing) }

  public enum Action: Hashable, Sendable {
    /// Give the guest up, then call ``Departure/sent()`` or ``Departure/stays(_:_:)``.
    case sendFinish
    /// Say it again: what was said may not have arrived.
    case say(VMMMessage)
    /// Run the guest on, in this epoch.
    case run(epoch: UInt64)
    case release(Refusal?)
  }

  /// Takes an order; nil when it is old or does not fit, and so changes nothing.
  public mutating func take(_ order: RegistryMessage) -> Action? {
    switch order {
    case .depart(let id, let receipt):
      guard id == departing.id else { return nil }
      switch departing.step {
      case .asking:
        departing.step = .permitted
        departing.receipt = receipt
        return .sendFinish
      case .permitted: return nil
      case .sent: return .say(.departed(id))
      case .staying: return reason.map { .say(.stays(id, $0.refusal, $0.text)) }
      }
    case .run(let epoch):
      guard epoch > departing.epoch else { return nil }
      switch departing.step {
      case .asking, .staying: return .run(epoch: epoch)
      // It may be giving the guest up just now.
      case .permitted, .sent: return nil
      }
    case .release(let refusal): return .release(refusal)
    case .welcome, .prepare, .offered, .freeze, .claim, .takeBack, .refusal, .preflight, .migrate,
      .cancelMigration, .arrivalJournalled:
      return nil
    }
  }

  /// The order came: the guest was given up.
  public mutating func sent() -> VMMMessage {
    precondition(departing.step == .permitted, "a guest is given up by order only")
    departing.step = .sent
    return .departed(departing.id)
  }

  /// The guest was not given up.
  public mutating func stays(_ refusal: Refusal, _ text: String) -> VMMMessage {
    precondition(departing.step != .sent, "what was given up does not stay")
    departing.step = .staying
    reason = (refusal, text)
    return .stays(departing.id, refusal, text)
  }

  public var standing: Standing { .departing(departing) }
}
