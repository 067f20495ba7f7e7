import Baton
import BatonWire
import LinuxOS
import MigrationCore
import RemoteMigration

/// A VMM whose guest may go to another host: the migration that is asked for or under way.
///
/// It connects the stream with the registry's orders, as `SourceRole` does in baton-vmm; nothing in it waits.
final class Leaving {
  /// One guest on its way.
  private struct Journey {
    let id: MigrationID
    let outgoing: OutgoingMigration
    /// The vCPUs are to stand still, which the VMM has not said yet.
    var isStopDue = false
    var lastInstruction: UInt64 = 0
    /// What the other host said, which stands for the last report too.
    var lastReport: MigrationReport?
    /// Why the guest could not be given up though it was ordered: the target hears it once the registry has it.
    var obstacle: MigrationFailure?
  }

  private unowned let handle: Handle
  private let remote: Remote
  private var asked: MigrationOrder?
  private var journey: Journey?
  /// Until when a guest stands still for what is waited for.
  private(set) var awakeUntil: UInt64 = 0

  init(_ handle: Handle, _ remote: Remote) {
    self.handle = handle
    self.remote = remote
  }

  private var participant: Participant { handle.participant }

  /// Whether the VMM has still to say what becomes of an order, or of its guest that is to stand still.
  var isAsked: Bool { asked != nil || journey?.isStopDue == true }
  /// Whether ``begin(_:)`` or ``decline(_:)`` is due.
  var isOrdered: Bool { asked != nil }
  var id: MigrationID? { asked?.id ?? journey?.id }
  var peer: String? { asked?.request.host ?? journey?.outgoing.order.request.host }

  // MARK: The VMM's loop

  var interests: [Poller.Interest] {
    switch participant.phase {
    case .running, .leaving, .departed: break
    // What the other host says is not read then, and would wake the VMM for nothing.
    case .new, .attached, .offered, .prepared, .claiming, .received, .permitted, .frozen, .staged,
      .takingBack,
      .tookBack, .returned, .departing, .awaiting, .arriving, .arrived, .over:
      return []
    }
    guard let interest = journey?.outgoing.interest, interest.number >= 0 else { return [] }
    return [Poller.Interest(interest.number, readable: true, writable: interest.writes)]
  }

  var waitNanoseconds: UInt64 { journey?.outgoing.waitNanoseconds ?? .max }

  /// Goes on for a moment.
  func step() throws {
    guard let outgoing = journey?.outgoing else { return }
    switch participant.phase {
    case .running, .leaving: break
    case .departing: return outgoing.keepAlive()
    case .departed: return try awaitRunning(outgoing)
    case .new, .attached, .offered, .prepared, .claiming, .received, .permitted, .frozen, .staged,
      .takingBack,
      .tookBack, .returned, .awaiting, .arriving, .arrived, .over:
      return
    }
    do throws(MigrationFailure) {
      if let event = try outgoing.step(for: Self.slice) { try take(event) }
    } catch {
      try giveUp(error)
    }
  }

  /// How long one call of the VMM may take, in nanoseconds.
  static let slice: UInt64 = 10_000_000

  private func take(_ event: OutgoingMigration.Event) throws(MigrationFailure) {
    guard let id else { return }
    do {
      switch event {
      case .connected, .checked, .copying, .roundEnded, .sent: break
      case .report(let report):
        journey?.lastReport = report
        try participant.report(report, of: id)
      case .planned(let report):
        try participant.report(report, of: id)
        try giveUp(nil)
      case .stopGuest:
        awakeUntil = Poller.awakeForPause()
        journey?.isStopDue = true
        handle.told.append(.stop)
      case .ready: try participant.depart()
      case .running:
        // Comes after the receipt only.
        break
      }
    } catch {
      throw error as? MigrationFailure ?? MigrationFailure(.sourceDeclined, "\(error)")
    }
  }

  // MARK: Begin

  /// The registry wants the guest on another host.
  func ordered(_ order: MigrationOrder) throws {
    defer {
      asked = order
      handle.told.append(.migrate)
    }
    // A registry that lost its journal knows nothing of the one under way.
    try giveUp(MigrationFailure(.migrationCancelled, "the registry ordered another migration"))
  }

  func decline(_ text: String) throws {
    if let order = asked.take() { return try participant.stays(order.id, .sourceDeclined, text) }
    guard isAsked else { throw Participant.Failure.outOfTurn(participant.phase) }
    try giveUp(MigrationFailure(.sourceDeclined, text))
  }

  /// Begins. What is thrown ends the migration, except that a wrong argument changes nothing.
  func begin(_ source: CSource) throws {
    guard let order = asked, case .running = participant.phase else {
      throw Participant.Failure.outOfTurn(participant.phase)
    }
    asked = nil
    var checks = SourceChecks()
    do {
      let guest = try DepartingRAM(source)
      guest.check(source, &checks)
      if let failure = checks.failure { throw failure }
      let offer = MachineOffer(
        manifest: source.guest.manifest, kind: guest.kind, policy: guest.policy, parties: checks.parties,
        facts: source.facts)
      var wanted = OutgoingMigration.Order(
        id: order.id, lock: order.lock, request: order.request, guest: participant.identity.guest,
        epoch: participant.epoch, host: HostName.own, build: participant.identity.build,
        socketPath: remote.socketPath)
      wanted.silenceNanoseconds = remote.silenceNanoseconds
      journey = Journey(
        id: order.id,
        outgoing: try OutgoingMigration(wanted, guest, offer: offer, checks: checks.checks))
    } catch {
      let failure = error as? MigrationFailure ?? MigrationFailure(.sourceDeclined, "\(error)")
      var report = MigrationReport(phase: .failed)
      report.text = failure.text
      report.checks = checks.checks
      try end(order.id, failure, report)
      throw failure
    }
  }

  // MARK: The pause

  /// The vCPUs stand still.
  ///
  /// - Returns: Whether they are to stay so; else the guest wrote too much in its last moments and runs on.
  func stopped(state: [UInt8], lastInstruction: UInt64) throws -> Bool {
    guard case .running = participant.phase, let journey, journey.isStopDue else {
      throw Participant.Failure.outOfTurn(participant.phase)
    }
    self.journey?.isStopDue = false
    self.journey?.lastInstruction = lastInstruction
    do throws(MigrationFailure) {
      switch try journey.outgoing.guestStopped(state: state) {
      case .stands: break
      case .runsOn:
        awakeUntil = 0
        return false
      }
    } catch {
      try giveUp(error)
      throw error
    }
    try participant.leave(journey.id)
    return true
  }

  // MARK: It stays

  /// Ends what was asked for or is under way and has not departed: the guest stays.
  ///
  /// - Parameter failure: nil after a plan.
  func giveUp(_ failure: MigrationFailure?) throws {
    if let order = asked.take() {
      return try end(order.id, failure ?? MigrationFailure(.migrationCancelled, ""))
    }
    switch participant.phase {
    case .running, .leaving: break
    case .new, .attached, .offered, .prepared, .claiming, .received, .permitted, .frozen, .staged,
      .takingBack,
      .tookBack, .returned, .departing, .departed, .awaiting, .arriving, .arrived, .over:
      return
    }
    guard let ended = journey.take() else { return }
    abandon(ended.outgoing, failure)
    guard let failure else {
      try participant.stays(ended.id, .migrationCancelled, "planned; nothing was moved")
      return handle.told.append(.migrationOver(nil))
    }
    var report = ended.lastReport ?? MigrationReport(phase: .failed)
    report.phase = .failed
    report.text = failure.text
    try end(ended.id, failure, report)
  }

  private func end(_ id: MigrationID, _ failure: MigrationFailure, _ report: MigrationReport? = nil) throws {
    handle.say(failure)
    // The VMM starts its vCPUs again whatever becomes of the connection to the registry, and of what people are told.
    handle.told.append(.migrationOver(failure.refusal))
    if let report { try? participant.report(report, of: id) }
    try participant.stays(id, failure.refusal, failure.text)
  }

  /// A device that does not take the guest back (SEND_CANCEL) lets it run on all the same; it cannot be sent again.
  private func abandon(_ outgoing: OutgoingMigration, _ failure: MigrationFailure?) {
    awakeUntil = 0
    do throws(MigrationFailure) { try outgoing.abandon(failure) } catch { handle.say(error) }
  }

  /// The registry's verdict on a guest that stood still to leave: it runs on.
  func stayed() {
    guard let ended = journey.take() else { return }
    abandon(
      ended.outgoing,
      ended.obstacle ?? MigrationFailure(.migrationCancelled, "an operator ended the migration"))
  }

  // MARK: It departs

  /// Gives the guest up, with the registry's permission.
  func finish() throws {
    guard let outgoing = journey?.outgoing else { return }
    do throws(MigrationFailure) {
      // Where nobody can say whether the device has given it up, to run it here could be to run it twice.
      if case .unknown(let doubt) = try outgoing.finishSending() { handle.say(doubt) }
    } catch {
      do throws(MigrationFailure) { try outgoing.cancelSending() } catch { handle.say(error) }
      journey?.obstacle = error
      return try participant.couldNotSend(error.refusal, error.text)
    }
    try participant.sent()
  }

  /// The guest is given up here. What is left is to let the target run it, and to hear that it does.
  func departed(_ receipt: DepartureReceipt) throws {
    guard let journey else { return }
    do throws(MigrationFailure) { try journey.outgoing.send(receipt) } catch { try lose(journey, error) }
  }

  private func awaitRunning(_ outgoing: OutgoingMigration) throws {
    guard let journey else { return }
    do throws(MigrationFailure) {
      guard case .running(let first) = try outgoing.step(for: Self.slice) else {
        if !outgoing.isConnected { throw MigrationFailure(.linkLost, "the link to the other host broke") }
        return
      }
      self.journey = nil
      let report = outgoing.report(stoppedAt: journey.lastInstruction, runningAt: first)
      // A registry that does not hear it calls an operator.
      try? participant.report(report, of: journey.id)
      try? participant.confirm(journey.id)
      outgoing.close()
      handle.told.append(participant.departureOver(nil))
    } catch {
      try lose(journey, error)
    }
  }

  /// Nobody has said that the guest runs there: the registries settle it.
  private func lose(_ journey: Journey, _ failure: MigrationFailure) throws {
    self.journey = nil
    handle.say(failure)
    var report = journey.outgoing.report
    report.phase = .failed
    report.text = failure.text
    try? participant.report(report, of: journey.id)
    journey.outgoing.close()
    handle.told.append(participant.departureOver(.departed))
  }

  /// This VMM has nothing more to say: the guest was released, or the handle is freed.
  func close() {
    asked = nil
    guard let ended = journey.take() else { return }
    // The target keeps what it has then.
    if participant.mayHaveDeparted { return ended.outgoing.close() }
    abandon(ended.outgoing, MigrationFailure(.migrationCancelled, "the source's VMM let go of its guest"))
  }
}
