import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd
import Varlink

/// One call of Upgrade, from the intent to the handoff's end. The handoff does not depend on it.
final class UpgradeCall {
  private enum Stage { case preflight, waiting, following, over }

  private let guest: GuestName
  private let request: UpgradeRequest
  private let call: ServerCall.Number
  private weak var connection: OperatorConnection?
  private unowned let server: OperatorServer
  private var stage = Stage.preflight
  private var timer: LoopTimer?
  /// The number that the handoff has or will have.
  private(set) var number: UInt64

  init(
    guest: GuestName, request: UpgradeRequest, call: ServerCall.Number, connection: OperatorConnection,
    server: OperatorServer
  ) {
    self.guest = guest
    self.request = request
    self.call = call
    self.connection = connection
    self.server = server
    number = (server.driver.registry[guest]?.record.handoff ?? 0) + 1
  }

  var isWaitingForSuccessor: Bool { stage == .preflight || stage == .waiting }

  /// Asks the source first, then records the intent.
  func begin() {
    if let machine = server.driver.registry[guest], machine.record.phase == .staged {
      // The guest waits in custody: there is no source to ask, and its handoff goes on.
      number = machine.record.handoff
      recordIntent()
      return
    }
    server.driver.preflight(guest) { [weak self] checks in self?.preflighted(checks) }
  }

  private func preflighted(_ checks: [Check]) {
    guard stage == .preflight else { return }
    let failed = checks.filter { $0.verdict == .fail }
    if !failed.isEmpty, request.ignorePreflight != true {
      fail(.preflightFailed(.init(guest: guest.text, checks: failed)))
      return
    }
    recordIntent()
  }

  private func recordIntent() {
    stage = .waiting
    let driver = server.driver
    let limit =
      request.deadlineMicroseconds.map { min($0, 86_400_000_000) * 1000 }
      ?? UInt64(driver.configuration.deadlines.prepare) * 1_000_000
    driver.context(guest).timeline.attachBegins(at: MonotonicClock.now())
    timer = driver.loop.schedule(after: limit) { [unowned self] in
      guard stage == .waiting, let guest = server.driver.view(guest) else { return }
      server.driver.context(self.guest).timeline.forgetAttach()
      fail(
        .deadlinePassed(
          .init(
            guest: guest.name, handoff: number, phase: .attach, limitMicroseconds: limit / 1000,
            state: guest.state)))
    }
    driver.log.write(
      .info, "an upgrade of guest \(guest) is wanted, its successor may attach",
      messageID: RegistryMessageID.upgradeWanted.rawValue, fields: driver.fields(driver.context(guest)))
    driver.allowSlots(of: guest)
    reply(.recorded)
    // A successor may have been there before the source had answered. A guest in custody has a handoff under way
    // for as long as it waits: only a successor that comes ends the waiting.
    if let current = driver.context(guest).timeline.current,
      driver.registry[guest].map({ !driver.isWaiting($0) }) ?? true
    {
      take(current.handoff)
    }
  }

  private func take(_ handoff: Handoff) {
    guard stage == .waiting else { return }
    stage = .following
    number = handoff.number
    timer?.cancel()
  }

  /// Reports what happens to the guest's handoff.
  func follow(_ event: TimelineEvent) {
    if event.kind == .guestGone {
      fail(.guestEnded(.init(guest: guest.text)))
      return
    }
    if stage == .preflight || stage == .waiting, let over = errorIfOver {
      fail(over)
      return
    }
    if let handoff = event.handoff, stage == .waiting, brings(event) { take(handoff) }
    guard stage == .following, event.handoff?.number == number else { return }
    switch event.kind {
    case .phaseStarted: reply(.phaseStarted, phase: event.phase)
    case .phaseEnded: reply(.phaseEnded, phase: event.phase)
    case .handoffEnded: finish(event.handoff)
    case .snapshot, .guestAppeared, .guestChanged, .guestGone, .handoffStarted, .alarmRaised, .alarmCleared,
      .migrationStarted, .migrationProgress, .migrationEnded:
      break
    }
  }

  /// Whether an event says that a successor has come.
  private func brings(_ event: TimelineEvent) -> Bool {
    switch event.kind {
    case .handoffStarted: event.handoff?.successor != nil
    case .phaseStarted: event.phase?.name != .attach
    case .phaseEnded, .handoffEnded, .snapshot, .guestAppeared, .guestChanged, .guestGone, .alarmRaised,
      .alarmCleared, .migrationStarted, .migrationProgress, .migrationEnded:
      false
    }
  }

  /// The guest came to its end while its successor was waited for.
  private var errorIfOver: RegistryError? {
    guard let guest = server.driver.view(guest) else { return nil }
    switch guest.state {
    case .lost: return .guestLost(.init(guest: guest.name, sentence: guest.endSentence ?? guest.state.clause))
    case .ended: return .guestEnded(.init(guest: guest.name))
    case .running, .preparing, .frozen, .staged, .claimed, .takingBack, .waiting, .departing, .departed,
      .arriving:
      return nil
    }
  }

  /// A successor did not take the guest. Where that ends the handoff, its end says so; a guest in custody goes on
  /// waiting, and the caller is not to wait with it.
  func successorFailed(_ refusal: RegistryInterface.Refusal) {
    guard stage == .waiting || stage == .following, let machine = server.driver.registry[guest],
      server.driver.isWaiting(machine)
    else { return }
    fail(.refusedBySuccessor(.init(guest: guest.text, handoff: number, refusal: refusal)))
  }

  /// An operator does not want the handoff any more, and no successor has come yet.
  func cancel() {
    server.driver.context(guest).timeline.forgetAttach()
    let reason = BatonWire.Refusal.abortedByOperator
    fail(
      .refusedByRegistry(
        .init(
          guest: guest.text,
          refusal: RegistryInterface.Refusal(name: reason.name, sentence: reason.sentence, by: .operator))))
  }

  private func finish(_ handoff: Handoff?) {
    if let handoff, let refusal = handoff.refusal, handoff.outcome == .aborted, refusal.by == .source,
      handoff.phases.allSatisfy({ $0.name == .attach || $0.name == .prepare })
    {
      fail(.refusedBySource(.init(guest: handoff.guest, handoff: handoff.number, refusal: refusal)))
      return
    }
    reply(.finished, handoff: handoff)
    end()
  }

  private func fail(_ error: RegistryError) {
    let waiting = connection
    end()
    if let waiting { _ = server.send(waiting) { $0.reply(to: call, error: error) } }
  }

  private func end() {
    stage = .over
    timer?.cancel()
    if server.upgrades[guest] === self { server.upgrades[guest] = nil }
  }

  private func reply(_ step: UpgradeStep, phase: Phase? = nil, handoff: Handoff? = nil) {
    guard let connection, let view = server.driver.view(guest) else { return }
    let message = UpgradeReply(step: step, number: number, guest: view, phase: phase, handoff: handoff)
    _ = server.send(connection) {
      $0.reply(to: call, message, continues: step != .finished)
    }
  }
}
