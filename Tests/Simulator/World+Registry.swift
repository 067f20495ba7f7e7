import BatonCore
import BatonWire

/// What batond does around the registry's machine: connections, pidfds, custody, journal, deadlines.
extension World {
  // MARK: Events

  func takeRecord(_ link: Link, _ vmm: VMM) throws(Violation) {
    guard !link.toRegistry.isEmpty else { return }
    let record = link.toRegistry.removeFirst()
    guard link.isOpenAtRegistry else { return }
    if let links = host.links[vmm.id], links.count > 1, links.last === link, !link.saidHello {
      // A new connection's first record makes those of an older one void.
      let wasHeard = links.dropLast().contains { $0.saidHello }
      if !breaks(.deliverStaleRecords) { host.links[vmm.id] = [link] }
      // Whether the break was noticed before the new connection came is chance.
      if wasHeard, random.once(in: 2) { try handle(.disconnected(vmm.id)) }
      guard host.isUp else { return }
    }
    host.pidfds.insert(vmm.id)
    guard case .hello(let hello) = record.message else {
      guard let report = Self.report(record.message) else { return }
      trace("registry takes \(Self.describe(record.message)) of \(name(vmm.id))")
      let isAlive = vmm.isAlive || breaks(.commitToDeadSuccessor)
      return try handle(
        .report(vmm.id, report, isAlive: isAlive, bringsVM: !record.descriptors.contextVMs.isEmpty), record)
    }
    link.saidHello = true
    vmm.isRefused = false
    if !breaks(.deliverStaleRecords) { host.held.removeAll { $0.0 == vmm.id } }
    if host.registry.mustWait(Report(hello.standing), for: guest) {
      trace("registry holds \(Self.describe(record.message)) of \(name(vmm.id))")
      host.held.append((vmm.id, link, record))
      return
    }
    try takeHello(hello, record, vmm)
  }

  private func takeHello(_ hello: Hello, _ record: Record, _ vmm: VMM) throws(Violation) {
    trace("registry takes \(Self.describe(record.message)) of \(name(vmm.id))")
    let isAlive = vmm.isAlive || breaks(.commitToDeadSuccessor)
    try handle(
      .hello(
        vmm.id, Report(hello.standing), reads: hello.reads, manifest: hello.manifest, isAlive: isAlive,
        bringsVM: !record.descriptors.contextVMs.isEmpty), record)
  }

  func noticeClose(_ link: Link, _ vmm: VMM) throws(Violation) {
    let isPresent = !(host.links[vmm.id] ?? []).contains { $0 !== link && $0.saidHello }
    host.links[vmm.id]?.removeAll { $0 === link }
    host.held.removeAll { $0.1 === link }
    if host.links[vmm.id]?.isEmpty ?? false { host.links[vmm.id] = nil }
    guard link.saidHello, isPresent else { return }
    trace("registry sees the connection of \(name(vmm.id)) end")
    try handle(.disconnected(vmm.id))
  }

  func noticeDeath(_ vmm: VMM) throws(Violation) {
    trace("registry sees \(name(vmm.id)) dead")
    host.pidfds.remove(vmm.id)
    host.links[vmm.id] = nil
    host.held.removeAll { $0.0 == vmm.id }
    try handle(.died(vmm.id))
  }

  func pass(_ deadline: Deadline, _ handoff: UInt64) throws(Violation) {
    trace("deadline \(deadline) of handoff \(handoff) passes")
    coverage.count(.deadlines)
    host.deadlines.removeAll { $0.0 == deadline }
    if breaks(.resumeAfterGuessingDeath), deadline == .claim || deadline == .takeBack,
      let claimant = host.journal?.claimant
    {
      try handle(.died(claimant))
      guard host.isUp else { return }
    }
    try handle(.deadline(deadline, handoff: handoff))
  }

  /// The registry has settled when everybody who lives had time to come back.
  var canSettle: Bool {
    vmms.allSatisfy { vmm in
      guard vmm.isAlive, !vmm.gaveUp else { return true }
      return vmm.isConnected && (vmm.link?.saidHello ?? false)
    }
  }

  func settle() throws(Violation) {
    trace("registry has settled")
    var held = host.held
    host.held = []
    held.sort { Self.rank($0.2) < Self.rank($1.2) }
    for (id, _, record) in held {
      guard case .hello(let hello) = record.message, let vmm = vmm(id) else { continue }
      try takeHello(hello, record, vmm)
      guard host.isUp else { return }
    }
    for (_, effects) in host.registry.settle() { try perform(effects, nil) }
  }

  private static func rank(_ record: Record) -> Int {
    guard case .hello(let hello) = record.message else { return 0 }
    return Registry.rankWhenSettling(Report(hello.standing))
  }

  // MARK: Death and restart

  func crashRegistry() {
    trace("the registry dies")
    isFaultStep = true
    host.deaths += 1
    host.isUp = false
    host.crashesInNextEvent = false
    host.custody = HeldDescriptors()
    for links in host.links.values {
      for link in links {
        link.isOpenAtRegistry = false
        link.toRegistry = []
      }
    }
    host.links = [:]
    host.held = []
    host.deadlines = []
    host.pidfds = []
  }

  func startRegistry() throws(Violation) {
    host.isUp = true
    // A signal that was sent arrives before a process has started.
    for vmm in vmms where vmm.isSentenced { die(vmm) }
    coverage.count(.registryRestarts)
    guard let journal = host.disk, !host.journalIsGone else {
      trace("registry starts without a journal")
      host.journalIsGone = false
      host.journal = nil
      host.disk = nil
      host.stored = nil
      host.registry = Registry(
        isSettling: true, numbersFrom: breaks(.reuseNumbers) ? 0 : 1_000_000 + UInt64(steps) * 1_000)
      return
    }
    trace("registry starts: \(journal.phase), owner \(name(journal.owner)), epoch \(journal.epoch)")
    let held = host.stored?.restored(journal)
    if held == nil { host.stored = nil }
    host.custody = host.stored?.held ?? HeldDescriptors()
    if held != nil { coverage.count(.restoredCustody) }
    let (registry, effects) = Registry.restored([journal], held: held.map { [guest: $0] } ?? [:])
    host.registry = registry
    let successors = held?.custody.successors ?? []
    for id in [journal.owner, journal.claimant].compactMap({ $0 }) + journal.leaving + successors {
      host.pidfds.insert(id)
    }
    for (_, effects) in effects { try perform(effects, nil) }
  }

  // MARK: Effects

  func handle(_ event: RegistryEvent, _ record: Record? = nil) throws(Violation) {
    for vmm in vmms where !vmm.isAlive && host.pidfds.contains(vmm.id) && !breaks(.commitToDeadSuccessor) {
      try perform(host.registry.handle(.exited(vmm.id), for: guest), nil)
      guard host.isUp else { return }
    }
    let effects = host.registry.handle(event, for: guest)
    try perform(effects, record)
    guard host.isUp else { return }
    try checkCustody()
  }

  func perform(_ effects: [Effect], _ record: Record?) throws(Violation) {
    var crashAt = Int.max
    if host.crashesInNextEvent, !effects.isEmpty { crashAt = random.below(effects.count + 1) }
    for (index, effect) in effects.enumerated() {
      if index == crashAt { break }
      try perform(effect, record)
    }
    if crashAt != .max {
      coverage.count(.crashesBetweenEffects)
      crashRegistry()
    }
  }

  private func perform(_ effect: Effect, _ record: Record?) throws(Violation) {
    switch effect {
    case .journal(let entry): try write(entry)
    case .send(let message, let process): try send(message, to: process, nil)
    case .give(let message, let grant, let process): try send(message, to: process, grant)
    case .refuse(let process, let refusal):
      if refusal == .secondSuccessor { coverage.count(.secondSuccessors) }
      try send(.refusal(refusal, ""), to: process, nil)
      vmm(process)?.isRefused = true
      let link = host.heardLink(of: process)
      link?.isOpenAtRegistry = false
      host.links[process]?.removeAll { $0 === link }
    case .keepDescriptors:
      if let record {
        keep(record)
        store(record)
      }
    case .emptyCustody:
      host.custody = HeldDescriptors()
      host.stored = nil
    case .fence(let process):
      guard let vmm = vmm(process), vmm.isAlive, !breaks(.skipFence) else { return }
      trace("registry ends \(name(process))")
      coverage.count(.fenced)
      vmm.isSentenced = true
    case .arm(let deadline, let handoff):
      host.deadlines.removeAll { $0.0 == deadline }
      host.deadlines.append((deadline, handoff))
    case .disarm(let deadline): host.deadlines.removeAll { $0.0 == deadline }
    case .note(let note): try take(note)
    }
  }

  private func write(_ entry: GuestRecord) throws(Violation) {
    if let before = host.journal {
      guard entry.epoch >= before.epoch, entry.handoff >= before.handoff else {
        throw Violation(
          property: .numbers,
          text: "epoch \(before.epoch) to \(entry.epoch), handoff \(before.handoff) to \(entry.handoff)")
      }
      if entry.phase == .idle, before.phase == .ended || before.phase == .lost {
        coverage.count(.guestsBegunAnew)
      }
    }
    trace(
      "journal: \(entry.phase), owner \(name(entry.owner)), epoch \(entry.epoch), handoff "
        + "\(entry.handoff), claimant \(name(entry.claimant)), leaving \(entry.leaving.map { name($0) })")
    host.journal = entry
    host.truth = entry
    if breaks(.dropJournalWrite), host.disk != nil, random.once(in: 4) { return }
    host.disk = entry
    if breaks(.forgetReleasedOwner), entry.phase == .staged { host.disk?.leaving = [] }
  }

  /// As RegistryService's custody: what a record's descriptors are, its message says.
  private func keep(_ record: Record) {
    let brought = record.descriptors
    guard brought.ram || brought.state != nil else {
      if let vm = brought.contextVMs.first { host.custody.successorVMs[record.from] = vm }
      return
    }
    if let state = brought.state { host.custody.state = state }
    guard brought.ram else { return }
    host.custody.ram = true
    if case .hello(let hello) = record.message, case .refused = hello.standing, hello.manifest?.way == .move {
      host.custody.returnedVMs += brought.vms
    } else {
      host.custody.vm = brought.vm
      host.custody.takeBackVM = brought.contextVMs.first
    }
  }

  /// As RegistryService's store: everything but VMs that a claimant brought back, which came before under other
  /// names.
  private func store(_ record: Record) {
    guard settings.storesCustody, let machine = host.registry[guest], let manifest = machine.manifest else {
      return
    }
    let before = host.stored.flatMap {
      $0.epoch == machine.record.epoch && $0.handoff == machine.record.handoff ? $0 : nil
    }
    var stored = StoredDescriptors(
      epoch: machine.record.epoch, handoff: machine.record.handoff, held: host.custody, manifest: manifest,
      stage: before?.stage)
    stored.held.returnedVMs = []
    if let before {
      stored.held.vm = stored.held.vm ?? before.held.vm
      stored.held.takeBackVM = stored.held.takeBackVM ?? before.held.takeBackVM
    }
    switch record.message {
    case .stage(_, let stage): stored.stage = stage
    case .hello(let hello):
      switch hello.standing {
      case .staged(_, let stage), .refused(_, .some(let stage)): stored.stage = stage
      case .refused, .fresh, .attached, .claiming, .received, .tookBack, .running, .arriving, .departing:
        break
      }
    case .offer, .ready, .received, .refused, .tookBack, .used, .resumed, .running, .declined,
      .preflightReport, .ended, .described, .park, .departing, .departed, .stays, .arrived, .receipt,
      .migrationReport, .confirmed:
      break
    }
    host.stored = stored
  }

  /// The VMs that go along, or those that must not, when that is what is broken.
  private func vms(of grant: VMGrant, to process: ProcessID) -> [Int] {
    var grant = grant
    if breaks(.giveTakeBackVM), process != host.journal?.owner { grant.takeBack = true }
    if breaks(.forgetDeadVMs) {
      grant.takeBack = false
      grant.successors = []
    }
    return host.custody.vms(of: grant)
  }

  private func send(
    _ message: RegistryMessage, to process: ProcessID, _ grant: VMGrant?
  ) throws(Violation) {
    var descriptors = Descriptors.none
    if let grant { descriptors.contextVMs = vms(of: grant, to: process) }
    switch message {
    case .offered:
      guard host.custody.ram else {
        throw Violation(property: .custody, text: "an offer is passed on without its descriptors")
      }
      // With way `move` the VM is the baton: only a claimant sees it.
      descriptors = Descriptors(ram: true, vm: host.journal?.way == .move ? nil : host.custody.vm)
    case .claim(let handoff, _):
      guard let state = host.custody.state, state.handoff == handoff else {
        throw Violation(property: .custody, text: "a claim is given without its state")
      }
      descriptors.state = state
      guard host.journal?.way != .move || !descriptors.contextVMs.isEmpty else {
        throw Violation(property: .custody, text: "a claim is given without the VM that has the context")
      }
      try checkClaim(handoff, state, to: process)
    case .release: coverage.count(.releases)
    case .welcome, .prepare, .freeze, .takeBack, .run, .refusal, .preflight, .migrate, .depart,
      .cancelMigration, .arrivalJournalled:
      break
    }
    guard let link = host.heardLink(of: process), link.isOpenAtRegistry else { return }
    trace("registry -> \(name(process)): \(Self.describe(message))")
    if link.isOpenAtVMM { link.toVMM.append(Order(message: message, descriptors: descriptors)) }
    if case .freeze = message, breaks(.releaseBeforeStaged), host.registry[guest]?.isParking ?? false {
      link.toVMM.append(Order(message: .release(nil), descriptors: .none))
    }
    if case .claim(let handoff, let stage) = message { giveTwice(handoff, stage, descriptors, process) }
    if case .claim = message, breaks(.emptyCustodyEarly) {
      host.custody = HeldDescriptors()
    }
  }

  /// Broken on purpose: another living successor gets the same baton.
  private func giveTwice(
    _ handoff: UInt64, _ stage: Stage, _ descriptors: Descriptors, _ claimant: ProcessID
  ) {
    guard breaks(.giveBatonTwice) else { return }
    for vmm in vmms where vmm.works && vmm.id != claimant && vmm.isConnected {
      guard vmm.successor != nil, let link = vmm.link else { continue }
      _ = vmm.successor?.prepared(handoff)
      vmm.hasRAM = true
      link.toVMM.append(Order(message: .claim(handoff: handoff, stage), descriptors: descriptors))
      return
    }
  }

  private func take(_ note: Note) throws(Violation) {
    switch note {
    case .attemptStarted(let handoff, _, _):
      trace("attempt \(handoff) starts")
      coverage.count(.attempts)
      try checkIsNewest(handoff, &host.lastHandoff)
    case .staged:
      if host.registry[guest]?.isOwnerReleased ?? false { coverage.count(.ownersParked) }
    case .committed(_, _, let epoch):
      coverage.count(.committed)
      try checkIsNewest(epoch, &host.lastEpoch)
    case .takenBack(_, let epoch):
      coverage.count(.takenBack)
      try checkIsNewest(epoch, &host.lastEpoch)
    case .aborted: coverage.count(.aborted)
    case .lost(_, let why):
      trace("the guest is lost: \(why)")
      coverage.count(.lost)
    case .ended:
      trace("the guest has ended")
      coverage.count(.ended)
    case .alarm:
      coverage.count(.alarms)
      isOperatorCalled = true
    case .ownerRegistered(let owner, let epoch):
      coverage.count(.starts)
      // A guest that nobody has run begins; without a journal nobody knows numbers of an earlier life.
      if epoch == 1, !(vmm(owner)?.isExecuting ?? false) {
        host.lastHandoff = 0
        host.lastEpoch = 1
      }
    case .claimed:
      if host.custody.ram, !(vmm(host.journal?.owner)?.isAlive ?? false) { coverage.count(.takenFromCustody) }
    case .attached, .offered, .ready, .freezeOrdered, .runOrdered, .running,
      .rollingBack, .died, .fenced, .migrationStarted, .departing, .departed, .migrationStayed,
      .departureConfirmed, .arriving, .arrived, .arrivalCommitted, .arrivalFailed:
      break
    }
  }
}
