import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// What the journal is told about decisions, each kind under an id of its own (``RegistryMessageID``).
extension RegistryDriver {
  /// Fields of a message about a guest: what is known of the process among them, also after its end.
  func fields(
    _ context: GuestContext, handoff: UInt64? = nil, process: ProcessID? = nil,
    refusal: BatonWire.Refusal? = nil
  ) -> [(String, String)] {
    var fields = [("BATON_VM", context.name.text)]
    if let epoch = registry[context.name]?.record.epoch { fields.append(("BATON_EPOCH", "\(epoch)")) }
    if let handoff { fields.append(("BATON_HANDOFF", "\(handoff)")) }
    if let process {
      fields.append(("BATON_PEER_PID", "\(process.pid)"))
      if let unit = unit(of: process, context) { fields.append(("BATON_UNIT", unit)) }
    }
    if let refusal { fields.append(("BATON_REFUSAL", refusal.name)) }
    return fields
  }

  /// Fields of a message about a connection.
  func fields(_ connection: VMMConnection, _ refusal: BatonWire.Refusal? = nil) -> [(String, String)] {
    var fields: [(String, String)] = []
    if let guest = connection.guest { fields.append(("BATON_VM", guest.text)) }
    fields.append(("BATON_PEER_PID", "\(connection.peer.pid)"))
    if let unit = connection.process.unit { fields.append(("BATON_UNIT", unit)) }
    if let refusal { fields.append(("BATON_REFUSAL", refusal.name)) }
    return fields
  }

  /// The unit of a process that may have ended: what the guest's story remembers of it.
  func unit(of process: ProcessID, _ context: GuestContext) -> String? {
    if let unit = view(process).unit { return unit }
    if let owner = context.owner, owner.id == process { return owner.unit }
    guard let last = context.timeline.history.last else { return nil }
    if last.successor == process { return last.handoff.successor?.unit }
    return last.source == process ? last.handoff.source.unit : nil
  }

  /// A process for people, with its unit if it has one.
  func describe(_ process: ProcessID, _ context: GuestContext) -> String {
    let unit = unit(of: process, context)
    return "process \(process.pid)\(unit.map { " in \($0)" } ?? "")"
  }

  func write(
    _ level: ServiceLog.Level, _ kind: RegistryMessageID, _ message: String, _ fields: [(String, String)]
  ) {
    log.write(level, message, messageID: kind.rawValue, fields: fields)
  }

  /// Comes after the timeline was written.
  func audit(_ note: Note, _ own: BatonWire.Refusal?, _ context: GuestContext) {
    let guest = context.name
    switch note {
    case .ownerRegistered(let owner, let epoch):
      write(
        .info, .ownerRegistered, "guest \(guest) is owned by \(describe(owner, context)) in epoch \(epoch)",
        fields(context, process: owner))
    case .attached(let process):
      write(
        .info, .successorAttached, "\(describe(process, context)) is successor for guest \(guest)",
        fields(context, process: process))
    case .attemptStarted(let handoff, let source, let successor):
      let rest =
        successor.map { "to \(describe($0, context)) begins" }
        ?? "begins: it asks to be replaced, and its guest goes into custody"
      write(
        .info, .handoffStarted,
        "handoff \(handoff) of guest \(guest) from \(describe(source, context)) \(rest)",
        fields(context, handoff: handoff, process: successor ?? source))
    case .staged(let handoff, _): auditStaged(handoff, context)
    case .claimed(let handoff, let process):
      write(
        .info, .batonClaimed,
        "handoff \(handoff) of guest \(guest): \(describe(process, context)) has the baton",
        fields(context, handoff: handoff, process: process))
    case .committed(let handoff, let owner, let epoch):
      write(
        .notice, .handoffCommitted,
        "handoff \(handoff) of guest \(guest) is committed, \(describe(owner, context)) owns the guest in epoch \(epoch)",
        fields(context, handoff: handoff, process: owner))
    case .running(let epoch, _): auditRunning(epoch, context)
    case .rollingBack(let handoff, let refusal):
      write(
        .warning, .handoffRollingBack,
        "handoff \(handoff) of guest \(guest) is rolled back: \((own ?? refusal).sentence)",
        fields(context, handoff: handoff, refusal: own ?? refusal))
    case .takenBack(let handoff, let epoch):
      write(
        .notice, .handoffTakenBack,
        "handoff \(handoff) of guest \(guest): the source has the guest again, epoch \(epoch)",
        fields(context, handoff: handoff, process: registry[guest]?.record.owner))
    case .aborted(let handoff, let refusal):
      write(
        .warning, .handoffAborted,
        "handoff \(handoff) of guest \(guest) is aborted: \((own ?? refusal).sentence)",
        fields(context, handoff: handoff, refusal: own ?? refusal))
    case .lost(let handoff, let refusal):
      write(
        .error, .guestLost, "guest \(guest) is lost in handoff \(handoff): \((own ?? refusal).sentence)",
        fields(context, handoff: handoff, refusal: own ?? refusal))
    case .ended: auditEnd(context)
    case .died(let process): auditDeath(process, context)
    case .fenced(let process):
      write(
        .warning, .processFenced,
        "\(describe(process, context)) is no owner of guest \(guest), did not let go in time and is ended by the fence",
        fields(context, process: process))
    case .migrationStarted, .departing, .departed, .migrationStayed, .departureConfirmed, .arriving, .arrived,
      .arrivalCommitted, .arrivalFailed:
      auditMigration(note, own, context)
    case .offered, .ready, .freezeOrdered, .runOrdered, .alarm: break
    }
  }

  private func auditStaged(_ handoff: UInt64, _ context: GuestContext) {
    let guest = context.name
    guard context.timeline.history.last?.handoff.parked == true else {
      write(
        .info, .handoffStaged, "handoff \(handoff) of guest \(guest) is staged",
        fields(context, handoff: handoff))
      return
    }
    write(
      .notice, .guestParked,
      "guest \(guest) is parked, paused in custody: its owner is let go, a successor takes it in handoff \(handoff)",
      fields(context, handoff: handoff, process: registry[guest]?.record.owner))
  }

  private func auditRunning(_ epoch: UInt64, _ context: GuestContext) {
    var fields = fields(context, process: registry[context.name]?.record.owner)
    var text = "guest \(context.name) runs in epoch \(epoch)"
    if let last = context.timeline.history.last?.handoff, last.epochAfter == epoch,
      let blackout = last.blackoutMicroseconds
    {
      fields.append(("BATON_HANDOFF", "\(last.number)"))
      fields.append(("BATON_BLACKOUT_USEC", "\(blackout)"))
      text += ", it stood still for \(PlainText.duration(microseconds: blackout))"
    }
    write(.info, .guestRuns, text, fields)
  }

  private func auditEnd(_ context: GuestContext) {
    let owner = registry[context.name]?.record.owner
    let isSudden = owner != nil && owner == context.lastDeath
    write(
      isSudden ? .warning : .notice, isSudden ? .guestDied : .guestEnded,
      "guest \(context.name) has ended: \(endSentence(context))", fields(context, process: owner))
  }

  private func auditDeath(_ process: ProcessID, _ context: GuestContext) {
    let fields = fields(context, process: process)
    let who = describe(process, context)
    if let last = context.timeline.history.last, last.source == process,
      last.handoff.outcome == .committed || registry[context.name]?.isOwnerReleased == true
    {
      write(.info, .sourceReleased, "\(who) has let go of guest \(context.name) and ended", fields)
    } else {
      write(.info, .processEnded, "\(who) of guest \(context.name) has ended", fields)
    }
  }

  // MARK: Ends of guests

  /// Takes up how a guest came to its end.
  func noteEnd(_ note: Note, _ own: BatonWire.Refusal?, _ context: GuestContext) {
    switch note {
    case .died(let process): context.lastDeath = process
    case .ownerRegistered, .arriving: context.end = nil
    case .arrivalFailed:
      context.end = nil
      setEnd("it came from another host, and nothing came of that; it is where it came from", context)
    case .ended: setEnd(endSentence(context), context)
    case .lost(_, let refusal): setEnd((own ?? refusal).sentence, context)
    case .attached, .attemptStarted, .offered, .ready, .freezeOrdered, .staged, .claimed, .committed,
      .runOrdered, .running, .rollingBack, .takenBack, .aborted, .fenced, .alarm, .migrationStarted,
      .departing, .departed, .migrationStayed, .departureConfirmed, .arrived, .arrivalCommitted:
      break
    }
  }

  private func setEnd(_ sentence: String, _ context: GuestContext) {
    context.end = GuestContext.End(
      sentence: sentence, wallTime: MonotonicClock.wallTime() / 1000)
  }

  private func endSentence(_ context: GuestContext) -> String {
    guard let owner = registry[context.name]?.record.owner else { return "nobody owned it" }
    let who = "its VMM, \(describe(owner, context)),"
    return owner == context.lastDeath
      ? "\(who) ended without a word (it was killed or crashed, or gave up), and the guest was not in custody; start it anew if it is wanted"
      : "\(who) ended it"
  }
}
