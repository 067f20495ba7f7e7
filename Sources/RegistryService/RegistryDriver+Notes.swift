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
    let reason = context.ownReason
    let own = reason?.refusal
    takeOwner(stamped.note, context)
    writeTimeline(stamped, context, done: done)
    count(stamped.note, own)
    noteMigration(stamped.note, reason, context)
    audit(stamped.note, own, context)
    noteEnd(stamped.note, own, context)
    noteSlots(stamped.note, own, context)
    updateAlarms(stamped.note, context)
    publish(stamped.note, context)
  }

  // MARK: Timeline

  private func writeTimeline(_ stamped: StampedNote, _ context: GuestContext, done: UInt64) {
    let moment = stamped.moment
    let arrival = min(stamped.arrival, moment)
    switch stamped.note {
    case .ownerRegistered: break
    case .attached:
      // Whoever comes to a guest in custody joins the handoff that is under way.
      if context.timeline.current == nil { context.timeline.attachBegins(at: moment) }
    case .attemptStarted(let handoff, let source, let successor):
      context.ownReason = nil
      context.timeline.begin(
        number: handoff, way: RegistryInterface.Way(way(of: context)), epoch: epoch(of: context),
        source: (source, view(source)), successor: successor.map { ($0, view($0)) }, at: moment,
        wallTime: MonotonicClock.wallTime())
      context.timeline.enter(.prepare, at: moment, limit: microseconds(.prepare, context))
    case .offered(_, let successor):
      context.timeline.setWay(RegistryInterface.Way(way(of: context)))
      if let successor, context.timeline.current?.isStaged ?? false {
        context.timeline.offeredAgain(
          to: (successor, view(successor)), at: moment, limit: microseconds(.prepare, context))
      } else {
        context.timeline.enter(.offer, at: arrival, limit: nil)
        if successor != nil {
          context.timeline.enter(.ready, at: done, limit: microseconds(.prepare, context))
        }
      }
    case .ready:
      // The order to freeze leaves right after this note.
      context.timeline.leave(at: arrival)
      context.timeline.frozen(at: moment, limit: microseconds(.freeze, context))
    case .freezeOrdered: context.timeline.frozen(at: moment, limit: microseconds(.freeze, context))
    case .staged(_, let stage):
      let sent = stage.contextSent > 0 ? min(stage.contextSent, arrival) : arrival
      context.timeline.staged(stage, sent: sent, at: moment, limit: microseconds(.claim, context))
    case .claimed:
      context.timeline.enter(.receive, at: moment, limit: microseconds(.claim, context))
    case .committed(let handoff, let owner, let epoch):
      adopt(handoff, context, at: moment, committedTo: owner)
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
      // The guest waits in custody for a next successor.
      if registry[context.name]?.record.phase == .staged, context.timeline.current?.successor == process {
        context.timeline.enter(.attach, at: moment, limit: nil)
      }
    case .fenced, .alarm, .migrationStarted, .departing,
      .departed, .migrationStayed, .departureConfirmed, .arriving, .arrived, .arrivalCommitted,
      .arrivalFailed:
      break
    }
  }

  /// A handoff that began before the registry was restarted gets a timeline from here on.
  ///
  /// - Parameters:
  ///   - began: Since when it is known; nil for `moment`.
  ///   - successor: Who owns the guest by now; its source is the one that still has to go, if any has.
  private func adopt(
    _ handoff: UInt64, _ context: GuestContext, at moment: UInt64, since began: UInt64? = nil,
    committedTo successor: ProcessID? = nil
  ) {
    guard handoff > 0, context.timeline.history.last?.handoff.number != handoff,
      let record = context.journalled, let owner = record.owner
    else { return }
    let source = successor == owner ? record.leaving.last ?? owner : owner
    let isSourceGone = source == successor || !isAlive(source)
    context.timeline.adopt(
      number: handoff, way: RegistryInterface.Way(way(of: context)), epoch: epoch(of: context),
      source: (source, view(source)), successor: context.journalled?.claimant.map { ($0, view($0)) },
      began: began ?? moment, at: moment, wallTime: MonotonicClock.wallTime())
    if isSourceGone { context.timeline.changeLast { $0.isSourceGone = true } }
  }

  /// A guest whose source ended before this registry began: its handoff goes on, and operators may follow it.
  ///
  /// - Parameter stage: What the source had said when it staged, if that is known.
  func adoptRestored(_ context: GuestContext, _ stage: Stage?) {
    guard let record = context.journalled, let owner = record.owner, !isAlive(owner) else { return }
    switch record.phase {
    case .staged, .claimed, .rollback: break
    case .idle, .lost, .ended, .departing, .departed, .arriving: return
    }
    let moment = MonotonicClock.now()
    // It waits for a successor, or for what its claimant says.
    let phase: PhaseName = record.claimant == nil ? .attach : .receive
    if let stage, (1...moment).contains(stage.freezeStarted) {
      adopt(record.handoff, context, at: moment, since: stage.freezeStarted)
      context.timeline.presented(stage, at: moment, next: phase, limit: nil)
    } else {
      adopt(record.handoff, context, at: moment)
      context.timeline.enter(phase, at: moment, limit: nil)
    }
    context.timeline.changeLast {
      $0.isStaged = true
      if record.leaving.contains(owner) { $0.handoff.parked = true }
    }
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
    context.timeline.presented(stage, at: moment, next: .claim, limit: microseconds(.claim, context))
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

  // MARK: Counters

  /// - Parameter own: The registry's own reason, which says more than the machine's.
  private func count(_ note: Note, _ own: BatonWire.Refusal?) {
    switch note {
    case .attemptStarted(_, _, let successor):
      metrics.counters.handoffsStarted += 1
      if successor == nil { metrics.handoffsParked += 1 }
    case .ownerRegistered: metrics.guestsRegistered += 1
    case .ended: metrics.guestsEnded += 1
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
    case .attached, .offered, .ready, .freezeOrdered, .staged, .claimed, .runOrdered, .running, .died, .alarm,
      .migrationStarted, .departing,
      .departed, .migrationStayed, .departureConfirmed, .arriving, .arrived, .arrivalCommitted,
      .arrivalFailed:
      break
    }
  }

  private func publish(_ note: Note, _ context: GuestContext) {
    for event in context.timeline.takeEvents() {
      if event.kind == .handoffEnded, let handoff = event.handoff {
        metrics.record(handoff)
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
      .fenced, .alarm, .migrationStarted, .departing,
      .departed, .migrationStayed, .departureConfirmed, .arriving, .arrived, .arrivalCommitted,
      .arrivalFailed:
      break
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
    case .abortedByOperator, .migrationCancelled: .operator
    case .sourceDeclined, .guestEnded, .wrongPeerName, .certificateInvalid, .policyForbids, .agreementMissing,
      .willNotConverge, .encryptedStateNotSendable, .remoteUnreachable, .targetNotWaiting, .linkLost,
      .streamVersion:
      .source
    case .successorDeclined, .stateUnreadable, .noRoom, .streamDamaged: .successor
    case .batonUnknown, .batonRevoked, .batonForeign, .wrongPeer, .secondOwner, .secondSuccessor, .notOwner,
      .fencedInThisEpoch, .unknownGuest, .badGuestName, .guestLost, .malformedRecord, .versionMismatch,
      .descriptorMismatch, .protocolViolation, .badManifest, .notAMemfd, .sealsMissing, .memoryTooShort,
      .foreignMemory, .deadlinePassed, .peerDied, .peerDisconnected, .takenBack, .quotaExceeded, .settling,
      .guestExists, .migrationUnderWay, .receiptWrong, .departed:
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
      .takenBack, .quotaExceeded, .settling, .guestExists, .migrationUnderWay, .migrationCancelled, .linkLost,
      .wrongPeerName, .certificateInvalid, .policyForbids, .agreementMissing, .noRoom, .streamDamaged,
      .streamVersion, .willNotConverge, .encryptedStateNotSendable, .receiptWrong, .departed,
      .remoteUnreachable, .targetNotWaiting:
      false
    }
  }
}
