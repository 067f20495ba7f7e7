import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// What a person has to settle, because the registry must not guess.
extension RegistryDriver {
  /// What a guest waits for that only a person can bring about.
  enum Silence {
    /// A process that may hang has to answer.
    case process
    /// The journal was lost, and nobody can say who had the baton.
    case claimantUnknown
    /// An owner that was let go has to present once more what its guest needs to outlive it.
    case ownerNeeded
    /// The owner has the verdict and does not say that it runs the guest.
    case ownerSilent
    /// The owner may have given the guest to another host, and has to say so.
    case departureSilent
    /// The guest was given to another host, and nobody has said that it runs there.
    case departureOpen
    /// All of a guest came from another host, and whether it was given up there is not known.
    case arrivalOpen
  }

  /// What the guest could have to wait for, as it stands now.
  func silence(_ machine: GuestMachine) -> Silence? {
    switch machine.record.phase {
    case .claimed where machine.isClaimantUnknown: .claimantUnknown
    case .staged where isHeldByOwner(machine), .claimed where isHeldByOwner(machine): .ownerNeeded
    case .claimed, .rollback: .process
    case .idle where machine.step == .none && !machine.runConfirmed && isOwnerAlive(machine): .ownerSilent
    case .departing: .departureSilent
    case .departed where machine.leavingMigration != nil: .departureOpen
    case .arriving where machine.isArrived: .arrivalOpen
    case .staged, .idle, .lost, .ended, .departed, .arriving: nil
    }
  }

  private func isHeldByOwner(_ machine: GuestMachine) -> Bool {
    machine.isOwnerNeeded && isOwnerAlive(machine)
  }

  /// Looked at with every note: it is a matter of how the guest stands now.
  func updateAlarms(_ note: Note, _ context: GuestContext) {
    guard let machine = registry[context.name] else { return }
    let silence = silence(machine)
    if context.alarm != nil, silence != context.silence { clearAlarm(context) }
    if case .alarm(let handoff) = note, let silence, var alarm = alarm(silence, handoff, machine) {
      // What is to be done may have changed meanwhile: the owner may have ended.
      let before = context.alarm
      alarm.sinceRealtimeMicroseconds = before?.sinceRealtimeMicroseconds ?? alarm.sinceRealtimeMicroseconds
      context.alarm = alarm
      context.silence = silence
      if before?.sentence != alarm.sentence { tellAlarm(alarm, handoff, context) }
    }
    if case .runOrdered = note { watchVerdict(context) }
    updateWaiting(machine, context)
  }

  /// Whoever has the verdict runs the guest at once; one that is stopped or hangs just then would keep it still
  /// with nobody noticing.
  private func watchVerdict(_ context: GuestContext) {
    let limit = UInt64(configuration.deadlines.release) * 1_000_000
    context.verdictTimer = loop.schedule(after: limit) { [unowned self, weak context] in
      guard let context, context.alarm == nil, let machine = registry[context.name],
        silence(machine) == .ownerSilent,
        let alarm = alarm(.ownerSilent, machine.record.handoff, machine)
      else { return }
      context.alarm = alarm
      context.silence = .ownerSilent
      tellAlarm(alarm, machine.record.handoff, context)
    }
  }

  private func clearAlarm(_ context: GuestContext) {
    context.alarm = nil
    context.silence = nil
    tellCleared(context)
  }

  /// A guest whose owner asked to be replaced is expected to wait for a moment; one that nobody expected to wait,
  /// or whose successor failed, is an alarm at once.
  private func updateWaiting(_ machine: GuestMachine, _ context: GuestContext) {
    guard isWaiting(machine) else {
      guard context.waitingSince != nil else { return }
      context.waitingSince = nil
      context.waitingTimer?.cancel()
      context.waitingTimer = nil
      if context.isWaitTold { tellCleared(context) }
      context.isWaitTold = false
      return
    }
    guard context.waitingSince == nil else { return }
    context.waitingSince = MonotonicClock.wallTime() / 1000
    guard context.timeline.current?.handoff.parked == true, context.barred.bars.isEmpty else {
      tellWaiting(context)
      return
    }
    observer?(TimelineEvent(kind: .guestChanged, guest: context.name))
    let grace = UInt64(configuration.deadlines.release) * 1_000_000
    context.waitingTimer = loop.schedule(after: grace) { [unowned self, weak context] in
      if let context { tellWaiting(context) }
    }
  }

  private func tellWaiting(_ context: GuestContext) {
    guard let machine = registry[context.name], let alarm = waitingAlarm(machine, context) else { return }
    context.isWaitTold = true
    tellAlarm(alarm, machine.record.handoff, context)
  }

  private func tellAlarm(_ alarm: Alarm, _ handoff: UInt64, _ context: GuestContext) {
    metrics.alarmsRaised += 1
    log.write(
      .error, "guest \(context.name) needs an operator: \(alarm.sentence); what settles it: \(alarm.command)",
      messageID: RegistryMessageID.alarmRaised.rawValue, fields: fields(context, handoff: handoff))
    observer?(TimelineEvent(kind: .alarmRaised, guest: context.name))
    scheduleStatus()
  }

  private func tellCleared(_ context: GuestContext) {
    log.write(
      .notice, "guest \(context.name) does not need an operator any more",
      messageID: RegistryMessageID.alarmCleared.rawValue, fields: fields(context))
    observer?(TimelineEvent(kind: .alarmCleared, guest: context.name))
  }

  // MARK: Sentences

  /// Who has to answer, and what a person can do about it. Nil when nobody has to any more.
  private func alarm(_ silence: Silence, _ handoff: UInt64, _ machine: GuestMachine) -> Alarm? {
    let (sentence, command): (String, String)
    switch silence {
    case .process:
      guard let silent = silentProcess(handoff, machine) else { return nil }
      (sentence, command) = silent
    case .claimantUnknown:
      sentence = unknownClaimant(handoff, machine)
      command = "batonctl abort \(machine.record.name)"
    case .ownerNeeded:
      guard let owner = machine.record.owner else { return nil }
      sentence =
        "process \(owner.pid) was let go when the guest was parked in handoff \(handoff), and has not presented it to the registry that was restarted since; let it go on if it is stopped; ending it loses the guest"
      command = "kill -CONT \(owner.pid)"
    case .ownerSilent:
      guard let owner = machine.record.owner else { return nil }
      sentence =
        "process \(owner.pid) owns the guest in epoch \(machine.record.epoch) and does not say that it runs it; let it go on if it is stopped; ending it ends the guest"
      command = "kill -CONT \(owner.pid)"
    case .departureSilent, .departureOpen, .arrivalOpen:
      guard let migration = machine.record.migration else { return nil }
      sentence = migrationSentence(silence, migration, machine)
      command = "batonctl settle \(machine.record.name)"
    }
    return Alarm(
      sentence: sentence, command: command,
      sinceRealtimeMicroseconds: MonotonicClock.wallTime() / 1000)
  }

  private func migrationSentence(
    _ silence: Silence, _ migration: MigrationRecord, _ machine: GuestMachine
  ) -> String {
    let pid = machine.record.owner?.pid ?? 0
    switch silence {
    case .departureSilent:
      return
        "process \(pid) may have given the guest to \(migration.peer) in migration \(migration.id) and does not say so, and the registry must not guess; let it go on if it is stopped (kill -CONT \(pid)); if it hangs for good, end it: then the guest is given up here and the command lets it run there"
    case .departureOpen:
      return
        "the guest was given to \(migration.peer) in migration \(migration.id), and nobody has said that it runs there; it may wait there, paused, for what the command brings; do not restart this host before: what it waits for is in this host's memory alone"
    case .arrivalOpen:
      return
        "all of the guest came from \(migration.peer) in migration \(migration.id), and it waits here, paused, until it is shown that it was given up there, which the command asks for"
    case .process, .claimantUnknown, .ownerNeeded, .ownerSilent: return ""
    }
  }

  private func unknownClaimant(_ handoff: UInt64, _ machine: GuestMachine) -> String {
    let lost =
      "the journal was lost in the middle of handoff \(handoff), and it is not known whether another VMM has run the guest since, which nothing in the kernel would show"
    let running = "if one has and is stopped, let it go on (kill -CONT)"
    guard isOwnerAlive(machine), let owner = machine.record.owner else {
      return
        "\(lost); \(running); only if none has, give what is in custody to a next VMM with the command"
    }
    return
      "\(lost); \(running); if one has and is gone, the guest is gone with it: end process \(owner.pid), its source; only if none has, give the guest back to process \(owner.pid) with the command"
  }

  private func silentProcess(_ handoff: UInt64, _ machine: GuestMachine) -> (String, String)? {
    let record = machine.record
    let isSourceLeft = isOwnerAlive(machine) && !machine.isOwnerReleased
    if let claimant = record.claimant, isAlive(claimant), !isSourceLeft || machine.isReachable(record.owner) {
      let otherwise =
        isSourceLeft
        ? "if it hangs for good, end it: the source then takes the guest back if the baton was not used"
        : "there is no source any more, so ending it loses the guest"
      return (
        "process \(claimant.pid) has the baton of handoff \(handoff) and does not say what became of it, and the registry must not guess; let it go on if it is stopped; \(otherwise)",
        "kill -CONT \(claimant.pid)"
      )
    }
    guard let owner = record.owner else { return nil }
    return (
      "process \(owner.pid), the source, does not answer the order to take the guest back from handoff \(handoff); let it go on if it is stopped; ending it loses the guest unless it is in custody",
      "kill -CONT \(owner.pid)"
    )
  }

  /// What settles it that a guest waits in custody; nil when it does not.
  func waitingAlarm(_ machine: GuestMachine, _ context: GuestContext?) -> Alarm? {
    guard isWaiting(machine) else { return nil }
    let name = machine.record.name.text
    var sentence = "the source has ended and the guest waits paused in custody for a successor"
    if let home = context?.ownerSlot {
      let barred = context?.barred.bars.map(\.slot) ?? []
      let free = [home, home.other].filter { !barred.contains($0) }
      if !free.isEmpty {
        let units = free.map { "systemctl start \($0.unit(of: name))" }.joined(separator: " or ")
        sentence += ", which \(units) also starts"
      }
      for bar in context?.barred.bars ?? [] {
        sentence += "; slot \(bar.slot.rawValue) is barred until the upgrade is asked for: \(bar.sentence)"
      }
    }
    return Alarm(
      sentence: sentence, command: "batonctl upgrade \(name)",
      sinceRealtimeMicroseconds: context?.waitingSince ?? MonotonicClock.wallTime() / 1000)
  }
}
