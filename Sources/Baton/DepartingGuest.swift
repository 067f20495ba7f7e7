import BatonCore
public import BatonWire
import LinuxOS

/// A migration that the registry orders.
public struct MigrationOrder: Hashable, Sendable {
  public let id: MigrationID
  /// What the receipt will fit; the other host has to know it before it takes the guest.
  public let lock: DepartureLock
  public let request: MigrationRequest

  public init(id: MigrationID, lock: DepartureLock, request: MigrationRequest) {
    self.id = id
    self.lock = lock
    self.request = request
  }
}

/// The verdict on a guest that stood still to leave, and did not.
public enum DepartureVerdict: ~Copyable {
  /// Run it on, in a new epoch.
  case run(RunPermit)
  /// Give up everything and exit.
  case release(Refusal?)
}

/// A guest that stands still because another host has all of it. There is no way back but a verdict.
public struct DepartingGuest: ~Copyable {
  let link: RegistryLink
  public let id: MigrationID

  /// The socket to poll for reading, or -1 while there is no connection.
  public var descriptor: Int32 { link.descriptor }

  public enum Decision: ~Copyable {
    /// Give the guest up: the other host may have it.
    case sendFinish(PermittedDeparture)
    /// The migration was ended meanwhile: run the guest on.
    case run(RunPermit)
    case release(Refusal?)
    /// Nothing came yet.
    case waiting(DepartingGuest)
  }

  /// Takes up what the registry sent, without waiting beyond a reconnect's welcome.
  public consuming func process() throws(BatonError) -> Decision {
    let link = link
    let id = id
    return switch try link.nextDepartureAction(until: 0) {
    case .sendFinish: .sendFinish(PermittedDeparture(link: link, id: id))
    case .run(let epoch): .run(RunPermit(link: link, epoch: epoch, isFresh: false))
    case .release(let refusal): .release(refusal)
    case .say, nil: .waiting(DepartingGuest(link: link, id: id))
    }
  }

  /// Waits for the order, for as long as it takes; never ``Decision/waiting(_:)``.
  ///
  /// - Parameters:
  ///   - alarm: Called each time the registry has been gone or silent for its deadline.
  ///   - meanwhile: Called about twice a second as long as it waits.
  public consuming func awaitPermission(
    alarm: () -> Void = {}, meanwhile: () -> Void = {}
  ) throws(BatonError) -> Decision {
    let link = link
    let id = id
    var wait = link.beginWait()
    while true {
      switch try link.nextDepartureAction(until: wait.next) {
      case .sendFinish: return .sendFinish(PermittedDeparture(link: link, id: id))
      case .run(let epoch): return .run(RunPermit(link: link, epoch: epoch, isFresh: false))
      case .release(let refusal): return .release(refusal)
      case .say: continue
      case nil: wait.pass(alarm, meanwhile)
      }
    }
  }

  /// The guest stays after all: the other host does not take it, or cannot be reached. Waits for the verdict.
  public consuming func stays(
    _ refusal: Refusal, _ text: String, alarm: () -> Void = {}, meanwhile: () -> Void = {}
  ) throws(BatonError) -> DepartureVerdict { try link.stay(refusal, text, alarm, meanwhile) }
}

/// The order to give the guest up.
public struct PermittedDeparture: ~Copyable {
  let link: RegistryLink
  public let id: MigrationID

  /// The guest is given up: SEND_FINISH is done, or there is no VM any more that could run it. Waits until the
  /// registry has journalled that, for as long as it takes.
  ///
  /// - Parameters:
  ///   - alarm: Called each time the registry has been gone or silent for its deadline.
  ///   - meanwhile: Called about twice a second as long as it waits.
  public consuming func sent(
    alarm: () -> Void = {}, meanwhile: () -> Void = {}
  ) throws(BatonError) -> DepartedGuest {
    let link = link
    let id = id
    guard case .departing(var departure) = link.side, let receipt = departure.departing.receipt else {
      preconditionFailure("not a departing owner")
    }
    let message = departure.sent()
    link.side = .departing(departure)
    link.tell(message)
    var wait = link.beginWait()
    while true {
      switch try link.nextDepartureAction(until: wait.next) {
      case .release: return DepartedGuest(link: link, id: id, receipt: receipt)
      case .sendFinish, .run, .say: continue
      case nil: wait.pass(alarm, meanwhile)
      }
    }
  }

  /// The guest could not be given up, and nothing of it was: waits for the verdict.
  public consuming func couldNotSend(
    _ refusal: Refusal, _ text: String, alarm: () -> Void = {}, meanwhile: () -> Void = {}
  ) throws(BatonError) -> DepartureVerdict { try link.stay(refusal, text, alarm, meanwhile) }
}

/// A guest that is another host's. Bring ``receipt`` there and exit: the registry ends this process at its deadline.
public struct DepartedGuest: ~Copyable {
  let link: RegistryLink
  public let id: MigrationID
  /// What lets the other host's registry run the guest.
  public let receipt: DepartureReceipt

  /// The registry's socket, or -1.
  public var descriptor: Int32 { link.descriptor }

  /// Tells people how it goes on. A connection that is gone is renewed first, which also tells a registry that lost
  /// its journal what there was.
  public func report(_ report: MigrationReport) throws(BatonError) {
    link.renewIfGone()
    try link.send(.migrationReport(id, report))
  }

  /// The other host says that the guest runs. A registry that does not hear it calls an operator.
  public func confirm() {
    link.renewIfGone()
    link.tell(.confirmed(id))
  }
}

extension RunningGuest {
  /// Tells people how a migration goes. The registry decides nothing by it; twenty a second are plenty.
  public mutating func report(
    _ report: MigrationReport, of id: MigrationID
  ) throws(BatonError) { try link.send(.migrationReport(id, report)) }

  /// The migration is over and the guest runs on here: the last word of every migration that did not depart, and
  /// the answer to ``Order/cancelMigration(_:)``. Said again when the registry asks once more.
  public mutating func stays(_ id: MigrationID, _ refusal: Refusal, _ text: String) {
    if link.migration?.id == id { link.migration = nil }
    link.stayed = .stays(id, refusal, text)
    link.tell(.stays(id, refusal, text))
  }

  /// The vCPUs stand still, and the other host says that it has all of the guest. From here on only orders count,
  /// whether or not the record arrives.
  public consuming func depart(_ id: MigrationID) -> DepartingGuest {
    let link = link
    guard case .source(let source) = link.side, let order = link.migration, order.id == id else {
      preconditionFailure("no migration of this id was ordered")
    }
    link.side = .departing(
      Departure(id: id, lock: order.lock, epoch: source.epoch, peer: order.request.host))
    link.migration = nil
    link.stayAwake()
    link.tell(.departing(id))
    return DepartingGuest(link: link, id: id)
  }
}

extension RegistryLink {
  /// One attempt to renew a connection that is gone. Its first record brings the receipt, so that a registry
  /// without its journal has it again.
  func renewIfGone() {
    if !isConnected { _ = try? connect(timeoutNanoseconds: 1_000_000_000) }
  }

  /// A wait for the registry, in steps of half a second.
  struct Wait {
    let limit: UInt64
    var alarmDue: UInt64
    var next: UInt64

    /// A step is over and nothing came.
    mutating func pass(_ alarm: () -> Void, _ meanwhile: () -> Void) {
      let now = MonotonicClock.now()
      if now >= alarmDue {
        alarm()
        alarmDue = now + limit
      }
      meanwhile()
      next = now + 500_000_000
    }
  }

  func beginWait() -> Wait {
    let now = MonotonicClock.now()
    let limit = UInt64(deadlines.registry) * 1_000_000
    return Wait(limit: limit, alarmDue: now + limit, next: now + 500_000_000)
  }

  /// Says that the guest stays, and waits for the verdict.
  func stay(
    _ refusal: Refusal, _ text: String, _ alarm: () -> Void, _ meanwhile: () -> Void
  ) throws(BatonError) -> DepartureVerdict {
    guard case .departing(var departure) = side else { preconditionFailure("not a departing owner") }
    let message = departure.stays(refusal, text)
    side = .departing(departure)
    tell(message)
    var wait = beginWait()
    while true {
      switch try nextDepartureAction(until: wait.next) {
      case .run(let epoch): return .run(RunPermit(link: self, epoch: epoch, isFresh: false))
      case .release(let refusal): return .release(refusal)
      case .sendFinish, .say: continue
      case nil: wait.pass(alarm, meanwhile)
      }
    }
  }

  /// The next order that means something to a departing owner; the connection is renewed as needed. A refusal of
  /// its first record releases it: the registry knows another owner.
  func nextDepartureAction(until deadline: UInt64) throws(BatonError) -> Departure.Action? {
    while let message = try nextOrder(until: deadline) {
      guard case .departing(var departure) = side else { preconditionFailure("not a departing owner") }
      let action = departure.take(message)
      side = .departing(departure)
      if case .say(let again)? = action { tell(again) }
      if let action { return action }
    }
    return nil
  }

  /// The next message to one that only orders can help; nil when the time is over.
  ///
  /// A refusal that ends ownership, of a first record too, comes as an order to release; any other one, and a
  /// record that cannot be read, only cost the connection.
  func nextOrder(until deadline: UInt64) throws(BatonError) -> RegistryMessage? {
    repeat {
      let message: RegistryMessage?
      do throws(BatonError) {
        message = try deadline == 0 ? messageAtHand() : nextMessage(until: deadline)
      } catch .refused(let refusal, _) {
        return .release(refusal)
      }
      if case .refusal(let refusal, _)? = message {
        disconnect()
        if refusal == .receiptWrong { return message }
        if refusal.endsOwnership { return .release(refusal) }
        continue
      }
      if let message { return message }
    } while MonotonicClock.now() < deadline
    return nil
  }

  /// What is there already; the connection is renewed first when it is gone.
  private func messageAtHand() throws(BatonError) -> RegistryMessage? {
    if !isConnected, try !connect(timeoutNanoseconds: 1_000_000_000) { return nil }
    return try receive(until: 0)
  }
}
