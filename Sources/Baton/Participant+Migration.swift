import BatonCore
package import BatonWire
import LinuxOS

/// The turns of an owner whose guest goes to another host.
extension Participant {
  /// Tells people how the migration goes.
  package func report(_ report: MigrationReport, of id: MigrationID) throws {
    switch phase {
    case .running, .leaving:
      var guest = RunningGuest(link: link)
      try guest.report(report, of: id)
    case .departed:
      // A connection that is gone is renewed first, which also tells a registry that lost its journal what there was.
      link.renewIfGone()
      try link.send(.migrationReport(id, report))
    case .new, .attached, .offered, .prepared, .claiming, .received, .permitted, .frozen, .staged,
      .takingBack,
      .tookBack, .returned, .departing, .awaiting, .arriving, .arrived, .over:
      throw Failure.outOfTurn(phase)
    }
  }

  /// The migration is over before the guest departed: it runs on here.
  package func stays(_ id: MigrationID, _ refusal: Refusal, _ text: String) throws {
    switch phase {
    case .running: break
    case .leaving: phase = .running
    case .new, .attached, .offered, .prepared, .claiming, .received, .permitted, .frozen, .staged,
      .takingBack,
      .tookBack, .returned, .departing, .departed, .awaiting, .arriving, .arrived, .over:
      throw Failure.outOfTurn(phase)
    }
    var guest = RunningGuest(link: link)
    guest.stays(id, refusal, text)
  }

  /// The guest stands still for its last pages.
  package func leave(_ id: MigrationID) throws {
    guard case .running = phase, link.migration?.id == id else { throw Failure.outOfTurn(phase) }
    phase = .leaving(id)
  }

  /// The other host has all of it. From here on only orders count, whether or not the record arrives.
  package func depart() throws {
    guard case .leaving(let id) = phase, link.migration?.id == id else { throw Failure.outOfTurn(phase) }
    phase = .departing(id)
    rearmAlarm()
    _ = RunningGuest(link: link).depart(id)
  }

  func departingTurn() throws -> Turn? {
    guard case .departing(let id) = phase else { return nil }
    switch try link.nextDepartureAction(until: 0) {
    case .sendFinish:
      rearmAlarm()
      return .migration(.mayDepart)
    case .run(let epoch):
      phase = .permitted(epoch: epoch, isFresh: false)
      return .tell(.run(epoch: epoch))
    case .release(let refusal):
      guard case .departing(let departure) = link.side, departure.departing.step == .sent,
        let receipt = departure.departing.receipt
      else { return .tell(over(refusal)) }
      phase = .departed(id)
      return .migration(.departed(receipt))
    case .say, nil: return nil
    }
  }

  /// Whether the other host may have all of the guest, so that the registries settle where it is.
  package var mayHaveDeparted: Bool {
    if case .departing = link.side { return true }
    return false
  }

  /// The guest is given up, by order.
  package func sent() throws { try answerDeparture(permittedOnly: true) { $0.sent() } }

  /// The guest could not be given up, and nothing of it was: the verdict follows.
  package func couldNotSend(_ refusal: Refusal, _ text: String) throws {
    try answerDeparture(permittedOnly: false) { $0.stays(refusal, text) }
  }

  private func answerDeparture(
    permittedOnly: Bool, _ answer: (inout Departure) -> VMMMessage
  ) throws {
    guard case .departing = phase, case .departing(var departure) = link.side,
      departure.departing.step == .permitted
        || (!permittedOnly && departure.departing.step != .sent)
    else { throw Failure.outOfTurn(phase) }
    let message = answer(&departure)
    link.side = .departing(departure)
    rearmAlarm()
    link.tell(message)
  }

  /// The other host says that the guest runs.
  package func confirm(_ id: MigrationID) throws {
    link.renewIfGone()
    link.tell(.confirmed(id))
  }

  /// Nothing is left to do for a guest that was given up.
  package func departureOver(_ refusal: Refusal?) -> Event { over(refusal) }
}

/// The turns of a VMM to which a guest comes from another host.
extension Participant {
  /// Waits for a guest from another host instead of coming to the registry.
  package func awaitArrival() throws {
    guard phase == .new else { throw Failure.outOfTurn(phase) }
    phase = .awaiting
  }

  /// What is offered, until it is said to the registry; nil for nothing any more.
  package func expect(_ manifest: Manifest?) { self.manifest = manifest }

  /// Says to the registry that a guest comes. See ``ArrivingGuest/init(_:id:lock:epoch:peer:manifest:patienceMilliseconds:)``.
  package func arrive(
    _ id: MigrationID, lock: DepartureLock, epoch: UInt64, peer: String, manifest: Manifest
  ) throws(BatonError) {
    let guest = try ArrivingGuest(
      identity, id: id, lock: lock, epoch: epoch, peer: peer, manifest: manifest)
    link = guest.link
    phase = .arriving(id)
  }

  func arrivalTurn() throws -> Turn? {
    switch try link.nextArrivalStep(until: 0) {
    case .act(.run(let epoch)):
      phase = .permitted(epoch: epoch, isFresh: false)
      return .tell(.run(epoch: epoch))
    case .act(.release(let refusal)):
      link.disconnect()
      guard let refusal, refusal == .migrationCancelled else { return .tell(over(refusal)) }
      // Only the arrival was refused: this process has nothing to give up.
      phase = .awaiting
      return .migration(.arrivalEnded(refusal))
    case .wrongReceipt: return .migration(.wrongReceipt)
    case nil: return nil
    }
  }

  /// Everything that came is restored. Returns when the registry has written it down.
  package func arrived() throws {
    guard case .arriving(let id) = phase else { throw Failure.outOfTurn(phase) }
    try link.sayArrived(id, patienceMilliseconds: 5_000)
    phase = .arrived(id)
    rearmAlarm()
  }

  /// Shows the registry what came from the source.
  package func present(_ receipt: DepartureReceipt) throws {
    guard case .arrived = phase else { throw Failure.outOfTurn(phase) }
    rearmAlarm()
    link.tell(link.changeArrival { $0.present(receipt) })
  }

  /// Nothing comes of the arrival; nil when there is none. Another guest may come.
  package func withdraw(_ refusal: Refusal, _ text: String) -> WithdrawnArrival? {
    switch phase {
    case .arriving, .arrived:
      phase = .awaiting
      return link.withdraw(refusal, text)
    case .new, .attached, .offered, .prepared, .claiming, .received, .permitted, .running, .frozen, .staged,
      .takingBack, .tookBack, .returned, .leaving, .departing, .departed, .awaiting, .over:
      return nil
    }
  }
}
