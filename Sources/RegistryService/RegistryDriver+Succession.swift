import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// Who may come to a guest, by what is known of processes and units.
extension RegistryDriver {
  /// What speaks against a connection's first record, or nil.
  func objection(
    to connection: VMMConnection, _ standing: BatonWire.Standing, for name: GuestName
  ) -> SuccessionRule.Objection? {
    let machine = registry[name]
    if case .arriving = standing, let machine, !isOver(machine.record.phase),
      !machine.knows(connection.process.id)
    {
      return SuccessionRule.Objection(refusal: .guestExists, sentence: Refusal.guestExists.sentence)
    }
    let rule = SuccessionRule(allowedUsers: configuration.allowedUsers)
    if case .arriving = standing, machine?.record.phase == .departed,
      let objection = rule.objection(
        toArrivalBy: connection.peer.uid, of: name, formerlyOf: guests[name]?.user)
    {
      return objection
    }
    let standing = self.standing(of: connection.process.id, standing, machine)
    // What was read of its unit counts only as long as its pidfd says that it is alive.
    guard standing != .newcomer || connection.process.isAlive else {
      return SuccessionRule.Objection(refusal: .peerDied, sentence: Refusal.peerDied.sentence)
    }
    let applicant = SuccessionRule.Applicant(
      user: connection.peer.uid, unit: connection.process.unit,
      standing: standing)
    var guest = SuccessionRule.Guest(name: name)
    if let machine, !isOver(machine.record.phase) {
      let context = guests[name]
      guest.owner = SuccessionRule.Owner(
        user: context?.user, slot: context?.ownerSlot, isAlive: isOwnerAlive(machine))
      guest.barred = context?.barred.bars ?? []
    }
    return rule.objection(to: applicant, for: guest)
  }

  /// Whether nobody here owns the guest any more.
  func isOver(_ phase: GuestRecord.Phase) -> Bool {
    switch phase {
    case .lost, .ended, .departed: true
    case .idle, .staged, .claimed, .rollback, .departing, .arriving: false
    }
  }

  private func standing(
    of process: ProcessID, _ standing: BatonWire.Standing, _ machine: GuestMachine?
  ) -> SuccessionRule.Standing {
    if let machine, machine.knows(process) { return .known }
    return switch standing {
    case .fresh, .attached, .arriving: .newcomer
    case .claiming, .received, .refused, .staged, .tookBack, .running, .departing: .returning
    }
  }

  /// Who owns the guest is remembered, so that it can be named after its end.
  func takeOwner(_ note: Note, _ context: GuestContext) {
    switch note {
    case .ownerRegistered(let owner, _), .committed(_, let owner, _):
      if let process = processes[owner] {
        context.takeOwner(process)
      } else {
        context.takeOwner(owner, in: unit(of: owner, context))
      }
    case .attached, .attemptStarted, .offered, .ready, .freezeOrdered, .staged, .claimed, .runOrdered,
      .running, .rollingBack, .takenBack, .aborted, .lost, .ended, .died, .fenced, .alarm,
      .migrationStarted, .departing,
      .departed, .migrationStayed, .departureConfirmed, .arriving, .arrived, .arrivalCommitted,
      .arrivalFailed:
      break
    }
  }

  /// Takes up what a note says about slots that failed.
  ///
  /// Comes after the timeline was written: who the attempt's successor is stands there.
  func noteSlots(_ note: Note, _ own: BatonWire.Refusal?, _ context: GuestContext) {
    let successor = context.timeline.history.last?.successor
    switch note {
    case .attached(let process):
      context.barred.attached(process, from: slot(of: process, context))
    case .aborted(let handoff, let refusal):
      guard let successor else { break }
      let end = AttemptEnd(
        refusal: refusal, hasOwnReason: own != nil, wasDeclinedBySuccessor: context.declinedBy == successor,
        lastPhase: context.timeline.history.last?.handoff.phases.last?.name,
        isSuccessorConnected: connections[ConnectionKey(guest: context.name, process: successor)] != nil)
      if end.isSuccessorsFault {
        failed(successor, "did not get handoff \(handoff) done (\((own ?? refusal).name))", context)
      } else {
        context.barred.dismissed(successor)
      }
      context.declinedBy = nil
    case .rollingBack(let handoff, let refusal):
      guard let successor else { break }
      if refusal == .abortedByOperator {
        context.barred.dismissed(successor)
      } else {
        failed(successor, "did not take the guest in handoff \(handoff) (\((own ?? refusal).name))", context)
      }
    case .died(let process):
      failed(process, "ended before it owned the guest", context)
      context.barred.gone(process)
    case .fenced(let process):
      tell(
        context.barred.fenced(
          process, in: slot(of: process, context),
          "\(describe(process, context)) did not let go and had to be ended",
          at: MonotonicClock.wallTime() / 1000), context)
    case .committed(_, let owner, _): context.barred.committed(to: owner)
    case .ownerRegistered, .lost, .ended, .departed, .arriving: context.barred.reset()
    case .attemptStarted: context.declinedBy = nil
    case .offered, .ready, .freezeOrdered, .staged, .claimed, .runOrdered, .running, .takenBack, .alarm,
      .migrationStarted, .departing, .migrationStayed, .departureConfirmed, .arrived, .arrivalCommitted,
      .arrivalFailed:
      break
    }
  }

  private func failed(_ process: ProcessID, _ what: String, _ context: GuestContext) {
    if context.barred.isHopeful(process) {
      onSuccessorFailed?(
        context.name,
        RegistryInterface.Refusal(
          name: Refusal.successorDeclined.name, sentence: "\(describe(process, context)) \(what)",
          by: .successor))
    }
    tell(
      context.barred.failed(
        process, "\(describe(process, context)) \(what)", at: MonotonicClock.wallTime() / 1000), context)
  }

  private func tell(_ bar: BarredSlot?, _ context: GuestContext) {
    guard let bar else { return }
    metrics.slotsBarred += 1
    log.write(
      .warning,
      "slot \(bar.slot.rawValue) of guest \(context.name) is barred until batonctl upgrade \(context.name) is called: \(bar.sentence)",
      messageID: RegistryMessageID.slotBarred.rawValue,
      fields: [("BATON_VM", context.name.text), ("BATON_UNIT", bar.slot.unit(of: context.name.text))])
    observer?(TimelineEvent(kind: .guestChanged, guest: context.name))
  }

  /// An operator wants an upgrade: every slot of the guest may try again.
  func allowSlots(of guest: GuestName) {
    guard let context = guests[guest] else { return }
    let slots = context.barred.allowAll()
    guard !slots.isEmpty else { return }
    log.write(
      .notice,
      "slot \(slots.map(\.rawValue).joined(separator: " and ")) of guest \(guest) may try again: an upgrade is wanted",
      messageID: RegistryMessageID.slotsAllowed.rawValue, fields: [("BATON_VM", guest.text)])
    observer?(TimelineEvent(kind: .guestChanged, guest: guest))
  }

  private func slot(of process: ProcessID, _ context: GuestContext) -> Slot? {
    guard let unit = unit(of: process, context).flatMap({ SlotUnit($0) }), unit.guest == context.name.text
    else { return nil }
    return unit.slot
  }
}

extension GuestMachine {
  /// Whether a process owns the guest, had its baton, or waits for it.
  func knows(_ process: ProcessID) -> Bool {
    process == record.owner || process == record.claimant || process == candidate
      || record.leaving.contains(process) || waiting.contains(process)
      || custody.successors.contains(process)
  }
}
