import BatonCore
import BatonWire
import LinuxOS
import MigrationCore
import RegistryInterface
import Systemd

/// Migrations to and from other hosts: their records, and how people see them.
extension RegistryDriver {
  // MARK: Beginning

  /// Makes id and receipt of a migration that may begin, and lets it begin.
  func migrate(_ guest: GuestName, _ request: MigrationRequest, _ id: MigrationID) {
    let receipt = DepartureReceipt.random()
    submit(
      .migrate(
        MigrationStart(
          id: id, receipt: receipt, lock: DepartureLock(of: receipt, for: id), request: request)),
      for: guest)
  }

  /// Whether the guest's owner speaks a version that has the records of migration.
  func knowsMigration(_ machine: GuestMachine) -> Bool {
    guard let owner = machine.record.owner else { return false }
    let connection = connections[ConnectionKey(guest: machine.record.name, process: owner)]
    return (connection?.agreedVersion ?? 0) >= ProtocolVersion.withMigration
  }

  // MARK: Reports

  /// Figures for people; nothing is decided by them.
  func take(_ report: MigrationReport, of id: MigrationID, from connection: VMMConnection, _ guest: GuestName)
  {
    guard let record = registry[guest]?.record, record.owner == connection.process.id,
      record.migration?.id == id
    else { return }
    let context = context(guest)
    adoptMigration(context)
    guard context.migration?.id == id.hexadecimal, context.migration?.endedRealtimeMicroseconds == nil else {
      return
    }
    context.migration?.progress = MigrationProgress(report)
    if report.phase == .done { context.isPlanMade = context.migration?.planOnly ?? false }
    if record.phase == .idle, let phase = MigrationPhase(report.phase) { context.migration?.phase = phase }
    publishMigration(.migrationProgress, context)
  }

  // MARK: What became of them

  /// Takes up what a note says about a migration. Comes before alarms are looked at.
  func noteMigration(
    _ note: Note, _ own: (refusal: BatonWire.Refusal, detail: String)?, _ context: GuestContext
  ) {
    switch note {
    case .migrationStarted:
      context.migration = nil
      context.isPlanMade = false
      adoptMigration(context)
      if context.migration?.planOnly ?? false {
        metrics.migrations.planned += 1
      } else {
        metrics.migrations.started += 1
      }
      publishMigration(.migrationStarted, context)
    case .departing(let id): change(id, to: .departing, context)
    case .departed(let id):
      metrics.migrations.departed += 1
      change(id, to: .departed, context)
    case .migrationStayed(let id, let refusal): stayed(id, own, refusal, context)
    case .departureConfirmed(let id): end(id, .migrated, context)
    case .arriving(_, let process):
      context.migration = nil
      adoptMigration(context)
      if let watched = processes[process] { context.takeOwner(watched) }
      context.isAnnounced = true
      metrics.migrations.arriving += 1
      publishMigration(.migrationStarted, context)
    case .arrived(let id): change(id, to: .arrived, context)
    case .arrivalCommitted(let id, _, _):
      metrics.migrations.arrived += 1
      end(id, .migrated, context)
    case .arrivalFailed(let id, let refusal):
      // That is also how a plan ends here.
      if refusal != .migrationCancelled { metrics.migrations.failed += 1 }
      explain(id, own, context)
      end(id, .failed, context)
    case .lost:
      // It had been given up at its source.
      if context.migration?.role == .target, context.migration?.outcome == .inProgress,
        let id = registry[context.name]?.record.migration?.id
      {
        end(id, .failed, context)
      }
    case .ownerRegistered, .attached, .attemptStarted, .offered, .ready, .freezeOrdered, .staged, .claimed,
      .committed, .runOrdered, .running, .rollingBack, .takenBack, .aborted, .ended, .died, .fenced, .alarm:
      break
    }
  }

  private func stayed(
    _ id: MigrationID, _ own: (refusal: BatonWire.Refusal, detail: String)?, _ refusal: BatonWire.Refusal,
    _ context: GuestContext
  ) {
    context.ownReason = nil
    if context.isPlanMade {
      end(id, .planned, context)
      return
    }
    metrics.migrations.stayed += 1
    metrics.count(own?.refusal ?? refusal)
    explain(id, own ?? (refusal, ""), context)
    end(id, .stayed, context)
  }

  /// Why nothing came of it, if that was said.
  private func explain(
    _ id: MigrationID, _ reason: (refusal: BatonWire.Refusal, detail: String)?, _ context: GuestContext
  ) {
    context.ownReason = nil
    guard let reason, isShown(id, context) else { return }
    context.migration?.refusal = RegistryInterface.Refusal(
      name: reason.refusal.name, sentence: Self.sentence(reason.refusal, reason.detail),
      by: reason.refusal.refusedBy)
  }

  /// A refusal's sentence with what was said of this case behind its first clause, the one that says why.
  static func sentence(_ refusal: BatonWire.Refusal, _ detail: String) -> String {
    let detail = PeerText.visible(String(detail.map { $0 == ";" ? "," : $0 }))
    guard !detail.isEmpty else { return refusal.sentence }
    let clause = refusal.sentence.prefix { $0 != ";" }
    return "\(clause): \(detail)\(refusal.sentence.dropFirst(clause.count))"
  }

  private func change(_ id: MigrationID, to phase: MigrationPhase, _ context: GuestContext) {
    guard isShown(id, context) else { return }
    context.migration?.phase = phase
    publishMigration(.migrationProgress, context)
  }

  /// Whether it is this migration that people see; the next one may have begun.
  private func isShown(_ id: MigrationID, _ context: GuestContext) -> Bool {
    if context.migration?.id != id.hexadecimal, registry[context.name]?.record.migration?.id == id {
      adoptMigration(context)
    }
    return context.migration?.id == id.hexadecimal
  }

  private func end(_ id: MigrationID, _ outcome: MigrationOutcome, _ context: GuestContext) {
    guard isShown(id, context) else { return }
    let isGood = outcome == .migrated || outcome == .planned
    context.migration?.phase = isGood ? .done : .failed
    context.migration?.outcome = outcome
    context.migration?.cancelling = false
    context.migration?.endedRealtimeMicroseconds = MonotonicClock.wallTime() / 1000
    publishMigration(.migrationEnded, context)
  }

  private func publishMigration(_ kind: EventKind, _ context: GuestContext) {
    observer?(TimelineEvent(kind: kind, guest: context.name, migration: context.migration))
  }

  // MARK: Views

  /// A migration that the journal knows and nobody was told of gets its view: it began just now, or before this
  /// registry was started.
  func adoptMigration(_ context: GuestContext) {
    guard let record = registry[context.name]?.record, let migration = record.migration,
      context.migration?.id != migration.id.hexadecimal
    else { return }
    var view = Migration(
      id: migration.id.hexadecimal, role: .source, peer: migration.peer, phase: .connecting,
      startedRealtimeMicroseconds: MonotonicClock.wallTime() / 1000)
    switch migration.course {
    case .leaving(_, let request, let isCancelled):
      view.planOnly = request.isPlanOnly
      view.cancelling = isCancelled
      if record.phase == .departing { view.phase = .departing }
      if record.phase == .departed { view.phase = .departed }
    case .confirmed:
      view.phase = .done
      view.outcome = .migrated
    case .coming(let isArrived, _):
      view.role = .target
      view.phase = isArrived ? .arrived : .arriving
      if record.phase != .arriving {
        view.phase = .failed
        view.outcome = .failed
      }
    case .came:
      view.role = .target
      view.phase = .done
      view.outcome = .migrated
    }
    if view.outcome != .inProgress { view.endedRealtimeMicroseconds = view.startedRealtimeMicroseconds }
    context.migration = view
  }

  /// The migration of a guest as people see it.
  func migrationView(_ machine: GuestMachine) -> Migration? {
    guard let context = guests[machine.record.name] else { return nil }
    adoptMigration(context)
    var view = context.migration
    if case .leaving(_, _, isCancelled: true)? = machine.record.migration?.course,
      view?.outcome == .inProgress
    {
      view?.cancelling = true
    }
    return view
  }

  // MARK: Questions of the other host

  /// What is known of a migration from here. A guest that has left with it counts before any that says that it stayed:
  /// ids are given to VMMs, and anybody may name one.
  func departure(_ id: MigrationID, of name: GuestName?) -> DepartureReply {
    let machines = registry.guests.filter { machine in name.map { $0 == machine.record.name } ?? true }
    for record in machines.map(\.record) {
      for migration in [record.migration, record.previous].compactMap({ $0 }) where migration.id == id {
        switch migration.course {
        case .leaving(let receipt, _, _):
          // The one before is one that the guest has left with.
          let isGone = record.phase == .departed || migration == record.previous
          return DepartureReply(
            state: isGone ? .departed : .undecided, guest: record.name.text, host: migration.peer,
            receipt: isGone ? receipt.hexadecimal : nil)
        case .confirmed:
          return DepartureReply(state: .departed, guest: record.name.text, host: migration.peer)
        case .coming, .came: break
        }
      }
    }
    if let machine = machines.first(where: { $0.record.stayed.contains(id) }) {
      return DepartureReply(state: .stays, guest: machine.record.name.text)
    }
    // Before everybody was heard, nothing is known to be unknown.
    return DepartureReply(state: registry.isSettling ? .undecided : .unknown)
  }

  /// What is known of a migration to here.
  func arrival(_ id: MigrationID, of name: GuestName?) -> ArrivalReply {
    for machine in registry.guests where name.map({ $0 == machine.record.name }) ?? true {
      let record = machine.record
      for migration in [record.migration, record.previous].compactMap({ $0 }) where migration.id == id {
        let state: ArrivalState
        switch migration.course {
        case .coming(let isArrived, _):
          state = record.phase == .arriving ? (isArrived ? .arrived : .arriving) : .over
        // Until it says so itself, its verdict may be lost with this journal, and the receipt be needed again.
        case .came: state = record.phase == .idle && !machine.runConfirmed ? .arrived : .running
        case .leaving, .confirmed: continue
        }
        return ArrivalReply(state: state, guest: record.name.text, host: migration.peer)
      }
    }
    return ArrivalReply(state: .unknown)
  }
}
