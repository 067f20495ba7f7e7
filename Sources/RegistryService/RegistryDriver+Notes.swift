import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// What is told about decisions, after they were carried out: timelines, log lines, counters.
extension RegistryDriver {
  /// - Parameter done: When the effects of the record had been carried out.
  func record(_ stamped: StampedNote, done: UInt64) {
    let context = context(stamped.guest)
    let own = context.ownReason?.refusal
    writeTimeline(stamped, context, done: done)
    count(stamped.note, own)
    audit(stamped.note, own, context)
    updateAlarms(stamped.note, context)
    publish(stamped.note, context)
  }

  // MARK: Timeline

  private func writeTimeline(_ stamped: StampedNote, _ context: GuestContext, done: UInt64) {
    let moment = stamped.moment
    let arrival = min(stamped.arrival, moment)
    switch stamped.note {
    case .ownerRegistered: break
    case .attached: context.timeline.attachBegins(at: moment)
    case .attemptStarted(let handoff, let source, let successor):
      context.ownReason = nil
      context.timeline.begin(
        number: handoff, way: RegistryInterface.Way(way(of: context)), epoch: epoch(of: context),
        source: (source, view(source)), successor: (successor, view(successor)), at: moment,
        wallTime: MonotonicClock.wallTime())
      context.timeline.enter(.prepare, at: moment, limit: microseconds(.prepare, context))
    case .offered:
      context.timeline.setWay(RegistryInterface.Way(way(of: context)))
      context.timeline.enter(.offer, at: arrival, limit: nil)
      context.timeline.enter(.ready, at: done, limit: microseconds(.prepare, context))
    case .ready:
      // The order to freeze leaves right after this note.
      context.timeline.leave(at: arrival)
      context.timeline.enter(.freeze, at: moment, limit: microseconds(.freeze, context))
      context.timeline.changeLast { $0.frozen = moment }
    case .freezeOrdered: break
    case .staged(_, let stage):
      let sent = stage.contextSent > 0 ? min(stage.contextSent, arrival) : arrival
      context.timeline.changeLast { $0.lastInstruction = stage.lastInstruction }
      context.timeline.enter(.stage, at: sent, limit: nil)
      context.timeline.enter(.claim, at: moment, limit: microseconds(.claim, context))
    case .claimed:
      context.timeline.enter(.receive, at: moment, limit: microseconds(.claim, context))
    case .committed(let handoff, let owner, let epoch):
      adopt(handoff, context, at: moment)
      context.user = processes[owner]?.user ?? context.user
      context.timeline.enter(.commit, at: arrival, limit: nil)
      context.timeline.enter(.run, at: moment, limit: nil)
      context.timeline.committed(epoch: epoch, at: moment)
      let successor = view(owner)
      context.timeline.changeLast {
        $0.successor = owner
        $0.handoff.successor = successor
      }
    case .runOrdered: break
    case .running(_, let first): context.timeline.running(first: first, arrival: arrival)
    case .rollingBack(let handoff, let refusal):
      adopt(handoff, context, at: moment)
      context.timeline.reopen(handoff)
      context.timeline.leave(at: moment)
      setRefusal(refusal, context)
    case .takenBack(let handoff, let epoch):
      adopt(handoff, context, at: moment)
      context.timeline.enter(.run, at: moment, limit: nil)
      context.timeline.takenBack(epoch: epoch, at: moment)
    case .aborted(_, let refusal):
      setRefusal(refusal, context)
      context.timeline.settle(.aborted, at: moment)
    case .lost(let handoff, let refusal):
      adopt(handoff, context, at: moment)
      setRefusal(refusal, context)
      context.timeline.settle(.lost, at: moment)
    case .ended:
      if context.timeline.current != nil { context.timeline.settle(.ended, at: moment) }
    case .died(let process):
      context.timeline.died(process, at: moment)
      // The baton waits for a next claimant.
      if registry[context.name]?.record.phase == .staged, context.timeline.isReceiving {
        context.timeline.enter(.claim, at: moment, limit: nil)
      }
    case .fenced, .alarm: break
    }
  }

  /// A handoff that began before the registry was restarted gets a timeline from here on.
  private func adopt(_ handoff: UInt64, _ context: GuestContext, at moment: UInt64) {
    guard handoff > 0, context.timeline.history.last?.handoff.number != handoff,
      let source = context.journalled?.owner
    else { return }
    context.timeline.adopt(
      number: handoff, way: RegistryInterface.Way(way(of: context)), epoch: epoch(of: context),
      source: (source, view(source)), successor: context.journalled?.claimant.map { ($0, view($0)) },
      began: moment, at: moment, wallTime: MonotonicClock.wallTime())
    if !isAlive(source) { context.timeline.changeLast { $0.isSourceGone = true } }
  }

  /// A source comes back that has staged to a registry before this one: from what it says the timeline begins
  /// when it was frozen.
  func resumeTimeline(_ handoff: UInt64, _ stage: Stage, of source: ProcessID, _ context: GuestContext) {
    let moment = MonotonicClock.now()
    guard context.journalled?.handoff == handoff, context.journalled?.owner == source,
      context.timeline.history.last?.handoff.number != handoff, (1...moment).contains(stage.freezeStarted)
    else { return }
    context.timeline.adopt(
      number: handoff, way: RegistryInterface.Way(way(of: context)), epoch: epoch(of: context),
      source: (source, view(source)), successor: context.journalled?.claimant.map { ($0, view($0)) },
      began: stage.freezeStarted, at: moment, wallTime: MonotonicClock.wallTime())
    context.timeline.presented(stage, at: moment, limit: microseconds(.claim, context))
  }

  private func setRefusal(_ refusal: BatonWire.Refusal, _ context: GuestContext) {
    let own = context.ownReason
    context.ownReason = nil
    let name = own?.refusal ?? refusal
    var sentence = name.sentence
    if let detail = own?.detail, !detail.isEmpty { sentence += ": \(detail)" }
    let view = RegistryInterface.Refusal(name: name.name, sentence: sentence, by: name.refusedBy)
    context.timeline.changeLast { if $0.handoff.refusal == nil { $0.handoff.refusal = view } }
  }

  private func way(of context: GuestContext) -> BatonWire.Way {
    registry[context.name]?.record.way ?? context.manifest?.way ?? .none
  }

  private func epoch(of context: GuestContext) -> UInt64 { registry[context.name]?.record.epoch ?? 0 }

  private func microseconds(_ deadline: Deadline, _ context: GuestContext) -> UInt64 {
    limit(of: deadline, context) / 1000
  }

  // MARK: Counters and alarms

  /// - Parameter own: The registry's own reason, which says more than the machine's.
  private func count(_ note: Note, _ own: BatonWire.Refusal?) {
    switch note {
    case .attemptStarted: metrics.counters.handoffsStarted += 1
    case .committed: metrics.counters.handoffsCommitted += 1
    case .takenBack: metrics.counters.handoffsTakenBack += 1
    case .aborted(_, let refusal):
      metrics.counters.handoffsAborted += 1
      metrics.count(own ?? refusal)
    case .lost(_, let refusal):
      metrics.counters.handoffsLost += 1
      metrics.count(own ?? refusal)
    case .rollingBack(_, let refusal): metrics.count(own ?? refusal)
    case .fenced: metrics.counters.fencedProcesses += 1
    case .ownerRegistered, .attached, .offered, .ready, .freezeOrdered, .staged, .claimed, .runOrdered,
      .running, .ended, .died, .alarm:
      break
    }
  }

  /// What a person has to settle is looked at with every note: it is a matter of how the guest stands now.
  private func updateAlarms(_ note: Note, _ context: GuestContext) {
    guard let machine = registry[context.name] else { return }
    if case .alarm(let handoff) = note, context.alarm == nil {
      context.alarm = silenceAlarm(handoff, machine)
      if context.alarm != nil { observer?(TimelineEvent(kind: .alarmRaised, guest: context.name)) }
    } else if context.alarm != nil, !mayBeSilent(machine) {
      context.alarm = nil
      observer?(TimelineEvent(kind: .alarmCleared, guest: context.name))
    }
    guard isWaiting(machine) != (context.waitingSince != nil) else { return }
    context.waitingSince = isWaiting(machine) ? MonotonicClock.wallTime() / 1000 : nil
    observer?(
      TimelineEvent(
        kind: context.waitingSince == nil ? .alarmCleared : .alarmRaised, guest: context.name))
  }

  /// Whether what happens next depends on a process that may hang.
  func mayBeSilent(_ machine: GuestMachine) -> Bool {
    machine.record.phase == .claimed || machine.record.phase == .rollback
  }

  /// Who has to answer, and what a person can do about it. Nil when nobody has to any more.
  private func silenceAlarm(_ handoff: UInt64, _ machine: GuestMachine) -> Alarm? {
    guard mayBeSilent(machine) else { return nil }
    let record = machine.record
    let isSourceLeft = isOwnerAlive(machine)
    let sentence: String
    let process: Int32
    if let claimant = record.claimant, isAlive(claimant), !isSourceLeft || machine.isReachable(record.owner) {
      process = claimant.pid
      let otherwise =
        isSourceLeft
        ? "if it hangs for good, end it: the source then takes the guest back if the baton was not used"
        : "there is no source any more, so ending it loses the guest"
      sentence =
        "process \(process) has the baton of handoff \(handoff) and does not say what became of it, and the registry must not guess; let it go on if it is stopped; \(otherwise)"
    } else if let owner = record.owner {
      process = owner.pid
      sentence =
        "process \(process), the source, does not answer the order to take the guest back from handoff \(handoff); let it go on if it is stopped; ending it loses the guest unless it is in custody"
    } else {
      return nil
    }
    return Alarm(
      sentence: sentence, command: "kill -CONT \(process)",
      sinceRealtimeMicroseconds: MonotonicClock.wallTime() / 1000)
  }

  private func publish(_ note: Note, _ context: GuestContext) {
    for event in context.timeline.takeEvents() {
      if event.kind == .handoffEnded, let handoff = event.handoff {
        if handoff.outcome == .committed { metrics.record(handoff) }
        if handoff.outcome == .ended { metrics.counters.handoffsEnded += 1 }
      }
      observer?(event)
    }
    switch note {
    case .ownerRegistered where !context.isAnnounced:
      context.isAnnounced = true
      observer?(TimelineEvent(kind: .guestAppeared, guest: context.name))
    case .ownerRegistered, .running, .committed, .takenBack, .staged, .rollingBack, .lost, .ended:
      observer?(TimelineEvent(kind: .guestChanged, guest: context.name))
    case .attached, .attemptStarted, .offered, .ready, .freezeOrdered, .claimed, .runOrdered, .aborted, .died,
      .fenced, .alarm:
      break
    }
  }

  // MARK: Log

  private func audit(_ note: Note, _ own: BatonWire.Refusal?, _ context: GuestContext) {
    let guest = context.name
    var fields = [("BATON_VM", guest.text)]
    switch note {
    case .ownerRegistered(let owner, let epoch):
      log.write(.info, "guest \(guest) is owned by process \(owner.pid) in epoch \(epoch)", fields: fields)
    case .attached(let process):
      log.write(.info, "process \(process.pid) is successor for guest \(guest)", fields: fields)
    case .attemptStarted(let handoff, let source, let successor):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(
        .info, "handoff \(handoff) of guest \(guest) from process \(source.pid) to \(successor.pid) begins",
        fields: fields)
    case .staged(let handoff, _):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(.info, "handoff \(handoff) of guest \(guest) is staged", fields: fields)
    case .claimed(let handoff, let process):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(
        .info, "handoff \(handoff) of guest \(guest): process \(process.pid) has the baton", fields: fields)
    case .committed(let handoff, let owner, let epoch):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(
        .notice,
        "handoff \(handoff) of guest \(guest) is committed, process \(owner.pid) owns the guest in epoch \(epoch)",
        fields: fields)
    case .running(let epoch, _):
      log.write(.info, "guest \(guest) runs in epoch \(epoch)", fields: fields)
    case .rollingBack(let handoff, let refusal):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(
        .warning, "handoff \(handoff) of guest \(guest) is rolled back: \((own ?? refusal).sentence)",
        messageID: (own ?? refusal).journalMessageID, fields: fields)
    case .takenBack(let handoff, let epoch):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(
        .notice, "handoff \(handoff) of guest \(guest): the source has the guest again, epoch \(epoch)",
        fields: fields)
    case .aborted(let handoff, let refusal):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(
        .warning, "handoff \(handoff) of guest \(guest) is aborted: \((own ?? refusal).sentence)",
        messageID: (own ?? refusal).journalMessageID, fields: fields)
    case .lost(let handoff, let refusal):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(
        .error, "guest \(guest) is lost in handoff \(handoff): \((own ?? refusal).sentence)",
        messageID: (own ?? refusal).journalMessageID, fields: fields)
    case .ended: log.write(.info, "guest \(guest) has ended", fields: fields)
    case .died(let process):
      log.write(.info, "process \(process.pid) of guest \(guest) has ended", fields: fields)
    case .fenced(let process):
      log.write(.warning, "process \(process.pid) of guest \(guest) is ended by the fence", fields: fields)
    case .alarm(let handoff):
      fields.append(("BATON_HANDOFF", "\(handoff)"))
      log.write(
        context.alarm == nil ? .error : .debug,
        "handoff \(handoff) of guest \(guest) needs an operator: see batonctl show \(guest)", fields: fields)
    case .offered, .ready, .freezeOrdered, .runOrdered: break
    }
  }
}

extension RegistryInterface.Way {
  init(_ way: BatonWire.Way) {
    switch way {
    case .token: self = .token
    case .move: self = .move
    case .none: self = .none
    }
  }
}

extension BatonWire.Refusal {
  /// Who it was that said no.
  var refusedBy: RefusedBy {
    switch self {
    case .batonUsed, .batonExpired, .sourceDestroyed: .kernel
    case .abortedByOperator: .operator
    case .sourceDeclined, .guestEnded: .source
    case .successorDeclined, .stateUnreadable: .successor
    case .batonUnknown, .batonRevoked, .batonForeign, .wrongPeer, .secondOwner, .secondSuccessor, .notOwner,
      .fencedInThisEpoch, .unknownGuest, .badGuestName, .guestLost, .malformedRecord, .versionMismatch,
      .descriptorMismatch, .protocolViolation, .badManifest, .notAMemfd, .sealsMissing, .memoryTooShort,
      .foreignMemory, .deadlinePassed, .peerDied, .peerDisconnected, .takenBack, .quotaExceeded, .settling:
      .registry
    }
  }

  /// Whether a record itself was wrong, rather than what it asked for.
  var isAboutRecords: Bool {
    switch self {
    case .malformedRecord, .versionMismatch, .descriptorMismatch, .protocolViolation: true
    case .batonUsed, .batonUnknown, .batonExpired, .batonRevoked, .batonForeign, .sourceDestroyed, .wrongPeer,
      .secondOwner, .secondSuccessor, .notOwner, .fencedInThisEpoch, .unknownGuest, .badGuestName, .guestLost,
      .guestEnded, .badManifest, .notAMemfd, .sealsMissing, .memoryTooShort, .foreignMemory, .stateUnreadable,
      .deadlinePassed, .abortedByOperator, .sourceDeclined, .successorDeclined, .peerDied, .peerDisconnected,
      .takenBack, .quotaExceeded, .settling:
      false
    }
  }
}
