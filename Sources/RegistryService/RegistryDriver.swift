import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// Carries out what the pure registry decides: records, descriptors, processes, timers and the journal.
///
/// Lives on the loop's thread. One event is taken at a time, with everything that follows from it; logs and
/// timelines are written after its effects, so that nobody waits for them.
final class RegistryDriver {
  let configuration: RegistryConfiguration
  let loop: EventLoop
  let log: ServiceLog
  var registry: Registry
  var journal: JournalFile
  var crash: CrashSchedule
  var guests: [GuestName: GuestContext] = [:]
  var processes: [ProcessID: WatchedProcess] = [:]
  /// What was known of processes that ended just now: what is told about them may be told later.
  private(set) var departed: [ProcessID: VMMProcess] = [:]
  var connections: [ConnectionKey: VMMConnection] = [:]
  var connectionCounts: [UInt32: Int] = [:]
  var custodyCounts: [UInt32: Int] = [:]
  /// First records that wait until a registry without journal has settled.
  var held: [HeldHello] = []
  var metrics = RegistryMetrics()
  /// Called with everything that operators may follow.
  var observer: ((TimelineEvent) -> Void)?
  /// Called when a successor of a guest failed, with the reason.
  var onSuccessorFailed: ((GuestName, RegistryInterface.Refusal) -> Void)?
  /// Called when the registry cannot go on.
  var onFailure: ((String) -> Void)?
  /// Where custody outlives the registry; nil when the service manager keeps nothing.
  var custodyStore: CustodyStore?
  /// What the service manager was told last, and when it is told next.
  var status: (said: String, timer: LoopTimer?) = ("", nil)
  var buffer = [UInt8](repeating: 0, count: RecordHeader.byteCount + RecordHeader.maximumPayload)
  /// Given to successors in the place of the state memfd: the baton may be seen by a claimant only.
  let placeholder: DescriptorBundle
  var lingering: [ObjectIdentifier: LoopTimer] = [:]
  /// Guests that are lost or ended, the one that is over for longest first.
  var over: [OverGuest] = []
  var forgetTimer: LoopTimer?

  private var pending: [PendingEvent] = []
  private var isProcessing = false
  private var hasFailed = false
  private var notes: [StampedNote] = []
  private var noteTimer: LoopTimer?

  struct ConnectionKey: Hashable {
    let guest: GuestName
    let process: ProcessID
  }

  struct StampedNote {
    let guest: GuestName
    let note: Note
    let moment: UInt64
    let arrival: UInt64
  }

  /// An event on its way to a machine.
  struct PendingEvent {
    let event: RegistryEvent
    let guest: GuestName
    var descriptors: IncomingDescriptors?
    /// The connection whose first record this is.
    var hello: VMMConnection?
    var arrival: UInt64
  }

  init(
    configuration: RegistryConfiguration, loop: EventLoop, log: ServiceLog, registry: Registry,
    journal: JournalFile, crash: CrashSchedule
  ) throws(SystemError) {
    self.configuration = configuration
    self.loop = loop
    self.log = log
    self.registry = registry
    self.journal = journal
    self.crash = crash
    let memfd = try Memfd.create(name: "baton-no-state", byteCount: 0)
    try memfd.addSeals(.state)
    var list = DescriptorList()
    list.append(memfd)
    placeholder = DescriptorBundle(list)
  }

  func context(_ name: GuestName) -> GuestContext {
    if let context = guests[name] { return context }
    let context = GuestContext(name: name)
    guests[name] = context
    return context
  }

  /// A process has ended and is not watched any longer.
  func depart(_ process: ProcessID) {
    if departed.count == Self.maximumDeparted { departed = [:] }
    departed[process] = view(process)
    processes[process] = nil
  }

  private static let maximumDeparted = 256

  // MARK: Events

  /// Hands an event to its machine, carries out what follows, and then everything that came up meanwhile.
  func submit(
    _ event: RegistryEvent, for guest: GuestName, descriptors: IncomingDescriptors? = nil,
    hello: VMMConnection? = nil, arrival: UInt64 = MonotonicClock.now()
  ) {
    pending.append(
      PendingEvent(event: event, guest: guest, descriptors: descriptors, hello: hello, arrival: arrival))
    guard !isProcessing else { return }
    isProcessing = true
    while !pending.isEmpty, !hasFailed {
      let next = pending.removeFirst()
      noticeExits(next.guest)
      carryOut(registry.handle(next.event, for: next.guest), of: next)
    }
    isProcessing = false
    finishNotes()
  }

  /// While a guest is paused, its owner and claimant are looked at before anything is decided: what a
  /// process that is gone had sent may still wait, but it must not be given the guest (model rule R59).
  private func noticeExits(_ guest: GuestName) {
    guard let machine = registry[guest], isPaused(machine) || machine.record.phase == .arriving else {
      return
    }
    for process in [machine.record.owner, machine.record.claimant].compactMap({ $0 }) {
      guard let watched = processes[process], !watched.isAlive else { continue }
      carryOut(registry.handle(.exited(process), for: guest), for: guest)
    }
  }

  /// Effects that come from a machine without an event: a restart.
  func carryOut(_ effects: [Effect], for guest: GuestName) {
    carryOut(
      effects,
      of: PendingEvent(event: .settled, guest: guest, arrival: MonotonicClock.now()))
  }

  private func carryOut(_ effects: [Effect], of event: PendingEvent) {
    // A guest that is not known, or not any more, gets no context for nothing.
    guard !hasFailed, !effects.isEmpty || event.hello != nil else { return }
    let context = context(event.guest)
    var isWelcomed = event.hello == nil
    var isRefused = false
    for effect in effects where !hasFailed {
      switch effect {
      case .journal(let record): append(record, context)
      case .send(let message, let process):
        if !isWelcomed, let hello = event.hello, hello.process.id == process {
          welcome(hello, context)
          isWelcomed = true
        }
        deliver(message, to: process, context)
      case .give(let message, let grant, let process):
        if !isWelcomed, let hello = event.hello, hello.process.id == process {
          welcome(hello, context)
          isWelcomed = true
        }
        deliver(message, to: process, context, with: context.custody.vms(of: grant))
      case .refuse(let process, let refusal):
        let connection =
          event.hello ?? connections[ConnectionKey(guest: event.guest, process: process)]
        if let connection { refuse(connection, refusal, refusal.sentence) }
        isRefused = true
      case .keepDescriptors:
        if let descriptors = event.descriptors {
          keep(descriptors, context)
          store(descriptors, event.event, context)
        }
      case .emptyCustody:
        emptyCustody(context)
        emptyStore(context)
      case .fence(let process): fence(process, context)
      case .arm(let deadline, let handoff): arm(deadline, handoff, context)
      case .disarm(let deadline): context.deadlines.removeValue(forKey: deadline)?.timer.cancel()
      case .note(let note):
        notes.append(
          StampedNote(
            guest: event.guest, note: note, moment: MonotonicClock.now(), arrival: event.arrival))
      }
    }
    if !isWelcomed, !isRefused, let hello = event.hello { welcome(hello, context) }
  }

  /// Logs, timelines and the journal's upkeep, after everything was sent. What concerns a guest that is paused
  /// waits a little longer: the next record of its handoff comes first.
  ///
  /// - Parameter all: Nothing waits: somebody asks for something that depends on what is known.
  func finishNotes(all isEverything: Bool = false) {
    let done = MonotonicClock.now()
    let all = notes
    notes = []
    var mayForget = false
    for note in all {
      if !isEverything, isHurried(note.guest), note.moment + Self.longestHold > done {
        notes.append(note)
      } else {
        record(note, done: done)
        if noticeEnd(note) { mayForget = true }
      }
    }
    if mayForget { forgetOverGuests() }
    if !all.isEmpty { scheduleStatus() }
    if notes.isEmpty {
      noteTimer = nil
    } else if noteTimer == nil {
      noteTimer = loop.schedule(after: Self.longestHold) { [unowned self] in
        noteTimer = nil
        finishNotes()
      }
    }
    guard journal.needsMaintenance, !isAnyGuestPaused || journal.mustGrow else { return }
    do throws(SystemError) {
      try journal.maintain(registry.records, forgotten: registry.forgotten)
    } catch { fail("\(error)") }
  }

  /// How long what is known of a paused guest may wait before it is told, in nanoseconds.
  private static let longestHold: UInt64 = 10_000_000

  /// Whether the guest stands still, or its owner has the verdict and did not answer it yet: a journal that is
  /// written to just then wants a processor that the guest wants too.
  private func isHurried(_ guest: GuestName) -> Bool {
    guard let machine = registry[guest] else { return false }
    if isPaused(machine) { return true }
    return switch machine.record.phase {
    case .idle: !machine.runConfirmed && machine.isReachable(machine.record.owner)
    // It goes on elsewhere once its receipt is there, which its former owner brings.
    case .departed: machine.leavingMigration != nil
    case .staged, .claimed, .rollback, .departing, .arriving, .lost, .ended: false
    }
  }

  private func isPaused(_ machine: GuestMachine) -> Bool {
    switch machine.record.phase {
    case .staged, .claimed, .rollback: true
    case .idle: machine.step == .freezing
    case .departing: true
    case .arriving: machine.isArrived
    case .lost, .ended, .departed: false
    }
  }

  /// Whether a guest stands still that is about to go on: what can wait, waits for it. One that waits for a
  /// person, perhaps for hours, holds up nothing.
  var isAnyGuestPaused: Bool {
    registry.guests.contains { machine in
      isPaused(machine) && !isWaiting(machine) && guests[machine.record.name]?.alarm == nil
    }
  }

  // MARK: Single effects

  private func append(_ record: GuestRecord, _ context: GuestContext) {
    let points = CrashSchedule.points(of: record, after: context.journalled)
    if let before = points.before { crash.reach(before) }
    do throws(SystemError) { try journal.append(record) } catch {
      fail("the journal cannot be written: \(error)")
      return
    }
    context.journalled = record
    if let after = points.after { crash.reach(after) }
  }

  private func welcome(_ connection: VMMConnection, _ context: GuestContext) {
    let isOwner = registry[context.name]?.record.owner == connection.process.id
    let message = RegistryMessage.welcome(
      Welcome(
        version: connection.agreedVersion, role: isOwner ? .owner : .successor,
        deadlines: configuration.deadlines))
    if !connection.send(message) { connectionBroke(connection) }
  }

  /// - Parameter vms: What way `move` grants along with a claim or an order to take back.
  private func deliver(
    _ message: RegistryMessage, to process: ProcessID, _ context: GuestContext,
    with vms: [DescriptorBundle] = []
  ) {
    guard let connection = connections[ConnectionKey(guest: context.name, process: process)] else { return }
    var owners: [DescriptorBundle] = []
    switch message {
    case .offered(_, let manifest, _):
      guard let ram = context.custody.ram, let named = context.custody.named else { return }
      crash.reach(.afterOfferKept)
      // With way `move` the VM is the baton, which only a claimant may see.
      let vm = manifest.way == .move ? placeholder : context.custody.vm
      owners = [ram, placeholder] + (manifest.hasVM ? [vm].compactMap { $0 } : []) + [named]
    case .claim:
      guard let state = context.custody.state else { return }
      owners = [state] + vms
    case .takeBack: owners = vms
    case .welcome, .prepare, .freeze, .run, .release, .refusal, .preflight, .migrate, .depart,
      .cancelMigration, .arrivalJournalled:
      break
    }
    let contextVMs = vms.reduce(0) { $0 + $1.count }
    if !connection.send(message, of: owners, contextVMs: contextVMs) {
      connectionBroke(connection)
      return
    }
    if let point = CrashPoint(sent: message) { crash.reach(point) }
  }

  private func keep(_ descriptors: IncomingDescriptors, _ context: GuestContext) {
    let before = context.custody.count
    context.custody.keep(descriptors)
    charge(context, by: context.custody.count - before)
  }

  private func emptyCustody(_ context: GuestContext) {
    let before = context.custody.count
    context.custody.empty()
    charge(context, by: -before)
  }

  func charge(_ context: GuestContext, by count: Int) {
    guard count != 0 else { return }
    if context.custodyUser == nil { context.custodyUser = context.user }
    if let user = context.custodyUser { custodyCounts[user, default: 0] += count }
    if context.custody.count == 0 { context.custodyUser = nil }
  }

  private func fence(_ process: ProcessID, _ context: GuestContext) {
    guard let watched = processes[process], !watched.isFenced else { return }
    do throws(SystemError) { try watched.fence() } catch {
      log.write(
        .error,
        "\(describe(process, context)) of guest \(context.name) cannot be ended: \(error); the registry needs the right to signal it (CAP_KILL)",
        messageID: RegistryMessageID.fenceFailed.rawValue, fields: fields(context, process: process))
    }
  }

  private func arm(_ deadline: Deadline, _ handoff: UInt64, _ context: GuestContext) {
    let expires = MonotonicClock.now() + limit(of: deadline, context)
    let guest = context.name
    let timer = loop.schedule(at: expires) { [unowned self] in
      context.deadlines.removeValue(forKey: deadline)
      if case .release(let process) = deadline {
        context.timeline.sourceOverdue(process, at: MonotonicClock.now())
      }
      submit(.deadline(deadline, handoff: handoff), for: guest)
    }
    context.deadlines.updateValue(.init(timer: timer, expires: expires), forKey: deadline)?.timer.cancel()
  }

  /// How long a phase may take, in nanoseconds.
  func limit(of deadline: Deadline, _ context: GuestContext) -> UInt64 {
    let deadlines = configuration.deadlines
    let milliseconds: UInt64
    switch deadline {
    case .prepare:
      let ram = context.manifest?.ramByteCount ?? 0
      let perGiB = UInt64(deadlines.preparePer16GiB) / 16
      milliseconds = UInt64(deadlines.prepare) + min(ram >> 30, 1 << 20) * perGiB
    case .freeze: milliseconds = UInt64(deadlines.freeze)
    case .claim, .takeBack: milliseconds = UInt64(deadlines.claim)
    // Whoever has given a guest to another host has to bring the receipt there first.
    case .release where registry[context.name]?.record.phase == .departed:
      milliseconds = UInt64(max(deadlines.registry, deadlines.release))
    case .release, .migration: milliseconds = UInt64(deadlines.release)
    }
    return milliseconds * 1_000_000
  }

  /// What was decided cannot be made durable: the registry ends, and starts again from its journal.
  func fail(_ reason: String) {
    guard !hasFailed else { return }
    hasFailed = true
    log.write(
      .error,
      "\(reason); the registry stops without deciding anything more, guests go on running, start it again when this is mended",
      messageID: RegistryMessageID.journalTrouble.rawValue)
    onFailure?(reason)
  }
}

extension CrashPoint {
  /// The point that lies behind sending a message.
  init?(sent message: RegistryMessage) {
    switch message {
    case .prepare: self = .afterPrepareSent
    case .offered: self = .afterOfferedSent
    case .freeze: self = .afterFreezeSent
    case .claim: self = .afterClaimSent
    case .run: self = .afterRunSent
    case .release: self = .afterReleaseSent
    case .takeBack: self = .afterTakeBackSent
    case .migrate: self = .afterMigrateSent
    case .depart: self = .afterDepartSent
    case .welcome, .refusal, .preflight, .cancelMigration, .arrivalJournalled: return nil
    }
  }
}
