import Baton
import BatonWire
import LinuxOS
import MigrationCore
import RemoteMigration
import SEVABI
import Systemd

/// A guest on its way to another host.
final class SourceMigration {
  let id: MigrationID
  let outgoing: OutgoingMigration
  let host: String
  let isPlanOnly: Bool
  let began = MonotonicClock.now()
  /// The guest stands still for it.
  var isStopped = false
  /// Until when a guest stands still for what is waited for, see ``Poller/wait(_:timeoutNanoseconds:awakeUntil:)``.
  var awakeUntil: UInt64 = 0
  var lastInstruction: UInt64 = 0
  /// What the other host said, which stands for the last report too.
  var lastReport: MigrationReport?

  init(_ order: MigrationOrder, _ outgoing: OutgoingMigration) {
    id = order.id
    host = order.request.host
    isPlanOnly = order.request.isPlanOnly
    self.outgoing = outgoing
  }
}

extension SourceRole {
  // MARK: Begin

  func begin(_ order: MigrationOrder, _ running: inout RunningGuest) throws {
    // A registry that lost its journal knows nothing of the one under way.
    if migration != nil {
      try giveUp(MigrationFailure(.migrationCancelled, "the registry ordered another migration"), &running)
    }
    log.event(
      "migrationStarted",
      [
        ("migration", .text("\(order.id)")), ("host", .text(order.request.host)),
        ("plan", .number(order.request.isPlanOnly ? 1 : 0)),
      ])
    if !order.request.isPlanOnly { log.status(.migrating(host: order.request.host)) }
    var checks: [PreflightCheck] = []
    do {
      let instance = instance
      let encryption = try instance.sev?.outgoingMemory(instance.options) { instance.currentMemoryStatus }
      let found = SourceChecks(instance, encryption)
      checks = found.checks
      if let failure = found.failure { throw failure }
      migration = SourceMigration(order, try outgoing(order, encryption, found, running.epoch))
    } catch {
      let failure =
        error as? MigrationFailure ?? MigrationFailure(.sourceDeclined, "preparing the migration: \(error)")
      var report = MigrationReport(phase: .failed)
      report.text = failure.text
      report.checks = checks
      try running.report(report, of: order.id)
      try stay(order.id, failure, &running)
    }
  }

  private func outgoing(
    _ order: MigrationOrder, _ encryption: SEVOutgoingMemory?, _ checks: SourceChecks, _ epoch: UInt64
  ) throws -> OutgoingMigration {
    let options = instance.options
    var manifest = try instance.manifest()
    manifest.regions = options.configuration.ramRegions
    let kind: SEVKind =
      if let sev = instance.sev { sev.facts.hasEncryptedState ? .sevES : .sev } else { .none }
    let offer = MachineOffer(
      manifest: manifest, kind: kind, policy: encryption?.policy.rawValue ?? 0, parties: checks.parties,
      facts: MachineFacts(kind: instance.kind).encoded())
    var wanted = OutgoingMigration.Order(
      id: order.id, lock: order.lock, request: order.request, guest: options.guest, epoch: epoch,
      host: HostName.own, build: options.build, socketPath: options.remoteSocket)
    wanted.silenceNanoseconds = options.linkTimeoutMilliseconds * 1_000_000
    return try OutgoingMigration(
      wanted, try DepartingInstance(instance, encryption), offer: offer, checks: checks.checks)
  }

  // MARK: Steps

  /// Goes on with the migration for a slice, in which the guest usually runs.
  func step(_ migration: SourceMigration, _ running: consuming RunningGuest) throws -> Next {
    let event: OutgoingMigration.Event?
    do throws(MigrationFailure) {
      event = try migration.outgoing.step()
    } catch {
      try giveUp(error, &running)
      return .goesOn(running)
    }
    switch event {
    case nil: break
    case .connected(let peer):
      CrashPoint.sourceMigrationConnected.reached()
      log.event("migrationConnected", [("peer", .text(peer))])
    case .checked: CrashPoint.sourceMigrationChecked.reached()
    case .copying: CrashPoint.sourceMigrationCopying.reached()
    case .report(let report):
      migration.lastReport = report
      if report.phase == .planning, !report.text.isEmpty { log.event("migrationPlan", Self.fields(report)) }
      try running.report(report, of: migration.id)
    case .planned(let report):
      log.event("migrationPlan", Self.fields(report))
      try running.report(report, of: migration.id)
      try giveUp(nil, &running)
    case .roundEnded(let round, let sent, let dirtied, let nanoseconds):
      log.event(
        "migrationRound",
        [
          ("round", .number(UInt64(round))), ("encrypted", .number(sent.encrypted)),
          ("plain", .number(sent.plain)), ("zero", .number(sent.zero)), ("dirtied", .number(dirtied.total)),
          ("nanoseconds", .number(nanoseconds)),
        ])
    case .stopGuest: try stopGuest(migration, &running)
    case .sent: CrashPoint.sourceMigrationSent.reached()
    case .ready: return try depart(migration, running)
    case .running:
      // Comes after the receipt only, which is not sent from here.
      break
    }
    return .goesOn(running)
  }

  private func stopGuest(_ migration: SourceMigration, _ running: inout RunningGuest) throws {
    migration.isStopped = true
    migration.awakeUntil = Poller.awakeForPause()
    migration.lastInstruction = instance.machine.stop()
    CrashPoint.sourceMigrationStopped.reached()
    do {
      let decision = try migration.outgoing.guestStopped(
        state: try instance.machine.saveState(format: instance.options.stateFormat))
      switch decision {
      case .stands: break
      case .runsOn:
        migration.isStopped = false
        migration.awakeUntil = 0
        resume(instance.machine)
        log.event("migrationStoppedInVain", [("migration", .text("\(migration.id)"))])
      }
    } catch {
      try giveUp(
        error as? MigrationFailure ?? MigrationFailure(.sourceDeclined, "saving the guest's state: \(error)"),
        &running)
    }
  }

  // MARK: It stays

  /// Ends the migration before the guest departed: it runs on here.
  ///
  /// - Parameter failure: nil after a plan.
  func giveUp(_ failure: MigrationFailure?, _ running: inout RunningGuest) throws {
    guard let migration = migration.take() else { return }
    abandon(migration, failure)
    if migration.isStopped { resume(instance.machine) }
    guard let failure else {
      running.stays(migration.id, .migrationCancelled, "planned; nothing was moved")
      return
    }
    var report = migration.lastReport ?? MigrationReport(phase: .failed)
    report.phase = .failed
    report.text = failure.text
    // That people are not told is no reason to leave the registry without an answer.
    try? running.report(report, of: migration.id)
    try stay(migration.id, failure, &running)
  }

  private func abandon(_ migration: SourceMigration, _ failure: MigrationFailure?) {
    do throws(MigrationFailure) {
      try migration.outgoing.abandon(failure)
    } catch {
      log.say(
        .error,
        "\(error.text); the guest runs on here, but cannot be sent to another host until it is started anew")
    }
  }

  func stay(
    _ id: MigrationID, _ failure: MigrationFailure, _ running: inout RunningGuest
  ) throws {
    log.say(.warning, "\(failure.text); the guest runs on here")
    log.event(
      "migrationFailed",
      [
        ("migration", .text("\(id)")), ("refusal", .text(failure.refusal.name)),
        ("text", .text(failure.text)),
      ])
    log.status(.running(epoch: running.epoch))
    running.stays(id, failure.refusal, failure.text)
  }

  // MARK: It departs

  /// The target has all of it and only waits for the receipt.
  private func depart(_ migration: SourceMigration, _ running: consuming RunningGuest) throws -> Next {
    self.migration = nil
    let outgoing = migration.outgoing
    let departing = running.depart(migration.id)
    CrashPoint.sourceMigrationDeparting.reached()
    switch try departing.awaitPermission(
      alarm: { sayRegistryGone() }, meanwhile: { outgoing.keepAlive() })
    {
    case .release(let refusal):
      // The target keeps what it has: the registries settle it.
      outgoing.close()
      return .over(release(refusal))
    case .run(let permit):
      abandon(migration, MigrationFailure(.migrationCancelled, "an operator ended the migration"))
      return try runOn(permit)
    case .waiting: preconditionFailure("the registry's decision was waited for")
    case .sendFinish(let permitted): return try finish(migration, permitted)
    }
  }

  private func finish(
    _ migration: SourceMigration, _ permitted: consuming PermittedDeparture
  ) throws -> Next {
    let outgoing = migration.outgoing
    do throws(MigrationFailure) {
      if case .unknown(let doubt) = try outgoing.finishSending() {
        // The target has all of it; to run it here could be to run it twice.
        log.say(
          .error,
          "\(doubt.text), and the guest's state does not tell; it is given up here for \(migration.host)")
        log.event("sendFinishUnknown", [("text", .text(doubt.text))])
      }
    } catch {
      log.say(.error, "\(error.text); the guest stays here")
      takeBack(outgoing)
      // The target is told only when the registry has it in its journal: until then its copy may be needed.
      switch try permitted.couldNotSend(error.refusal, error.text, alarm: { sayRegistryGone() }) {
      case .run(let permit):
        let next = try runOn(permit)
        abandon(migration, error)
        return next
      case .release(let refusal):
        outgoing.close()
        return .over(release(refusal))
      }
    }
    CrashPoint.sourceMigrationFinished.reached()
    let departed = try permitted.sent(alarm: { sayRegistryGone() }, meanwhile: { outgoing.keepAlive() })
    CrashPoint.sourceMigrationDeparted.reached()
    return .over(try handReceipt(departed, migration))
  }

  private func takeBack(_ outgoing: OutgoingMigration) {
    do throws(MigrationFailure) {
      try outgoing.cancelSending()
    } catch {
      log.say(.error, "\(error.text); the guest cannot be sent to another host until it is started anew")
    }
  }

  private func runOn(_ permit: consuming RunPermit) throws -> Next {
    let epoch = permit.epoch
    let running = permit.run(manifest: try instance.manifest()) {
      resume(instance.machine)
      return instance.machine.waitForFirstInstruction(timeoutNanoseconds: 1_000_000_000) ?? 0
    }
    log.event("running", [("epoch", .number(epoch)), ("stayed", .number(1))])
    log.status(.running(epoch: epoch))
    return .goesOn(running)
  }

  /// The guest is given up here. What is left is to let the target run it, and to hear that it does.
  private func handReceipt(
    _ departed: consuming DepartedGuest, _ migration: SourceMigration
  ) throws -> VMMOutcome {
    let outgoing = migration.outgoing
    var first: FirstInstruction?
    var failure: MigrationFailure?
    do throws(MigrationFailure) {
      try outgoing.send(departed.receipt)
      first = try awaitRunning(outgoing, until: MonotonicClock.now() + Self.quietNanoseconds)
    } catch {
      failure = error
    }
    sayDeparted(migration)
    do throws(MigrationFailure) {
      if failure == nil, first == nil { first = try awaitRunning(outgoing, until: .max) }
    } catch {
      failure = error
    }
    if let first {
      tellDone(departed, migration, first)
      departed.confirm()
      CrashPoint.sourceMigrationConfirmed.reached()
    }
    instance.machine.end()
    guard let failure else {
      log.say(.notice, "the guest runs on \(migration.host) now and cannot run here any more")
      return .released
    }
    // Also so that a registry that is new hears of the receipt before this process is gone.
    var report = outgoing.report
    report.phase = .failed
    report.text = failure.text
    try? departed.report(report)
    log.fail(
      "\(failure.text); the guest was given up here for \(migration.host) and nobody has said that it runs "
        + "there: batonctl settle \(instance.options.guest)")
    log.event(
      "migrationFailed",
      [
        ("migration", .text("\(migration.id)")), ("refusal", .text(failure.refusal.name)),
        ("text", .text(failure.text)),
      ])
    return .refused(.departed)
  }

  /// How long nothing is written after the receipt: the guest waits for that alone, and logs want a processor that its
  /// way wants too.
  private static let quietNanoseconds: UInt64 = 10_000_000

  private func sayDeparted(_ migration: SourceMigration) {
    var fields: [(String, VMMEventLog.Value)] = [
      ("migration", .text("\(migration.id)")), ("lastInstruction", .number(migration.lastInstruction)),
    ]
    if let state = (try? instance.sev?.guestStatus())?.state {
      fields.append(("guestState", .number(UInt64(state))))
    }
    log.event("migrationDeparted", fields)
    log.status(.departed(host: migration.host))
  }

  /// - Parameter deadline: By `CLOCK_MONOTONIC`, in nanoseconds.
  /// - Returns: nil when the time is over.
  private func awaitRunning(
    _ outgoing: OutgoingMigration, until deadline: UInt64
  ) throws(MigrationFailure) -> FirstInstruction? {
    while true {
      if case .running(let first) = try outgoing.step() { return first }
      guard outgoing.isConnected else {
        throw MigrationFailure(.linkLost, "the link to the other host broke")
      }
      let now = MonotonicClock.now()
      guard now < deadline else { return nil }
      let interest = outgoing.interest
      var interests = [Poller.Interest(interest.number, readable: true, writable: interest.writes)]
      _ = try? Poller.wait(
        &interests, timeoutNanoseconds: min(outgoing.waitNanoseconds, deadline - now))
    }
  }

  private func tellDone(
    _ departed: borrowing DepartedGuest, _ migration: SourceMigration, _ first: FirstInstruction
  ) {
    let report = migration.outgoing.report(stoppedAt: migration.lastInstruction, runningAt: first)
    try? departed.report(report)
    log.event(
      "migrationDone",
      Self.fields(report) + [("epoch", .number(first.epoch)), ("migration", .text("\(migration.id)"))])
  }

  private func sayRegistryGone() {
    log.say(
      .warning,
      "the registry has been gone or silent for its deadline; the guest waits paused here, start batond or ask "
        + "batonctl show \(instance.options.guest)")
    log.status(.registryGone)
  }

  private static func fields(_ report: MigrationReport) -> [(String, VMMEventLog.Value)] {
    [
      ("phase", .text("\(report.phase)")), ("round", .number(report.round)),
      ("pagesTotal", .number(report.pagesTotal)), ("pagesSent", .number(report.pagesSent)),
      ("bytesSent", .number(report.bytesSent)), ("pagesPerSecond", .number(report.pagesPerSecond)),
      ("dirtyPagesPerSecond", .number(report.dirtyPagesPerSecond)),
      ("expectedMilliseconds", .number(report.expectedMilliseconds)),
      ("expectedPauseMilliseconds", .number(report.expectedPauseMilliseconds)),
      ("willConverge", .number(report.willConverge ? 1 : 0)),
      ("elapsedMilliseconds", .number(report.elapsedMilliseconds)),
      ("pauseMicroseconds", .number(report.pauseMicroseconds)), ("text", .text(report.text)),
    ]
  }
}
