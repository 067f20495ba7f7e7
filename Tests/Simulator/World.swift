import BatonCore
import BatonWire

/// One run: a guest, its VMMs, the registry, and what goes wrong.
///
/// Every step is drawn from the steps that are possible now, so no property rests on how long
/// anything takes. Nothing here knows time: a deadline is a step that may come at any moment, and in
/// the end, when nothing else is possible, does come.
final class World {
  let settings: Settings
  let guest: GuestName
  var random: RandomSource
  var kernel: Kernel
  var vmms: [VMM] = []
  var host: Host
  var coverage = Coverage()
  /// Faults are over.
  var isQuiet = false
  var faultsLeft: Int
  var successorsLeft: Int
  var parksLeft: Int
  /// The registry has called for an operator.
  var isOperatorCalled = false
  var steps = 0
  /// The protocol may end the guest in this step because its owner said so.
  var endedByOwner = false
  /// The step that is being taken is one that no protocol can help.
  var isFaultStep = false
  var wasRecoverable = false
  /// Somebody was not heard when the registry took what it knew for all: P1, P2, P6 and P7 must hold,
  /// the others cannot.
  var hasSettledEarly = false
  let isTracing: Bool
  private var choices: [(weight: Int, step: Step)] = []

  enum Step {
    case order(VMM)
    case body(VMM)
    case connect(VMM)
    case exit(VMM)
    case kill(VMM)
    case record(Link, VMM)
    case closed(Link, VMM)
    case death(VMM)
    case deadline(Deadline, UInt64)
    case settle
    case start
    case spawn
    case wake(VMM)
    case park(VMM)
    case fault
  }

  init(seed: UInt64, breakage: Breakage?, isTracing: Bool) {
    random = RandomSource(seed: seed)
    var others = RandomSource(seed: seed &+ 0x70_6172_6B69_6E67)
    settings = Settings(random: &random, others: &others, breakage: breakage)
    self.isTracing = isTracing
    guard let name = GuestName("vm1") else { preconditionFailure("vm1 is a name") }
    guest = name
    kernel = Kernel(isEncrypted: settings.ways != [.none])
    host = Host(isSettling: settings.beginsWithoutJournal)
    faultsLeft = settings.faults
    successorsLeft = settings.successors + 1
    parksLeft = settings.parks
  }

  func trace(_ text: @autoclosure () -> String) {
    if isTracing { print("\(steps)  \(text())") }
  }

  // MARK: The run

  func run() throws(Violation) {
    coverage.count(.runs)
    trace("settings: \(settings)")
    if settings.faults == 0 { coverage.count(.runsWithoutFault) }
    while steps < settings.activeSteps, try step() {}
    isQuiet = true
    host.crashesInNextEvent = false
    trace("faults are over")
    for vmm in vmms where vmm.isHung && vmm.isAlive && random.once(in: 2) { wake(vmm) }
    try runUntilQuiet()
    try checkEnd()
    try probe()
  }

  /// Time runs on: whatever is possible happens, and when nothing is, deadlines pass.
  func runUntilQuiet() throws(Violation) {
    var deadlinesInARow = 0
    let limit = steps + 4_000
    while true {
      guard steps < limit else {
        throw Violation(property: .comesToAnEnd, text: "still busy after 4,000 steps without a fault")
      }
      if try step() {
        deadlinesInARow = 0
        continue
      }
      if deadlinesInARow < 24, let passing = randomDeadline() {
        deadlinesInARow += 1
        try take(.deadline(passing.0, passing.1))
        continue
      }
      if try !wakeOneThatIsWaitedFor() {
        guard try operatorSettles() else { return }
      }
      deadlinesInARow = 0
    }
  }

  /// Takes one of the possible steps.
  ///
  /// - Returns: false when only time could bring something.
  func step() throws(Violation) -> Bool {
    choices.removeAll(keepingCapacity: true)
    addStepsOfVMMs()
    addStepsOfRegistry()
    if !isQuiet { addStepsOfEnvironment() }
    var total = 0
    for choice in choices { total += choice.weight }
    guard total > 0 else {
      guard !isQuiet, let passing = randomDeadline() else { return false }
      try take(.deadline(passing.0, passing.1))
      return true
    }
    var draw = random.below(total)
    for choice in choices {
      draw -= choice.weight
      if draw < 0 {
        try take(choice.step)
        return true
      }
    }
    return false
  }

  private func addStepsOfVMMs() {
    for vmm in vmms where vmm.isAlive {
      if vmm.isSentenced { choices.append((2, .kill(vmm))) }
      guard !vmm.isHung else {
        if !isQuiet { choices.append((1, .wake(vmm))) }
        continue
      }
      if vmm.gaveUp {
        choices.append((vmm.speed, .exit(vmm)))
        continue
      }
      if let link = vmm.link, link.isOpenAtVMM, !link.toVMM.isEmpty {
        choices.append((vmm.speed, .order(vmm)))
      }
      if hasWork(vmm) { choices.append((vmm.speed, .body(vmm))) }
      if canConnect(vmm) { choices.append((vmm.speed, .connect(vmm))) }
    }
  }

  private func addStepsOfRegistry() {
    guard host.isUp else {
      choices.append((4, .start))
      return
    }
    for vmm in vmms {
      guard let links = host.links[vmm.id] else {
        if !vmm.isAlive, host.pidfds.contains(vmm.id) { choices.append((4, .death(vmm))) }
        continue
      }
      var isDrained = true
      for link in links {
        if !link.toRegistry.isEmpty {
          isDrained = false
          if !host.isHeld(link) { choices.append((host.speed, .record(link, vmm))) }
        } else if !link.isOpenAtVMM, !host.isHeld(link) {
          choices.append((host.speed, .closed(link, vmm)))
        }
        if host.isHeld(link) { isDrained = false }
      }
      if !vmm.isAlive, host.pidfds.contains(vmm.id), isDrained || breaks(.dieBeforeDrain) {
        choices.append((4, .death(vmm)))
      }
    }
    if host.registry.isSettling, canSettle { choices.append((1, .settle)) }
  }

  private func addStepsOfEnvironment() {
    if successorsLeft > 0 {
      let others = vmms.count { $0.isAlive && !$0.isExecuting }
      if others == 0 || settings.faults > 0 { choices.append((others == 0 ? 8 : 1, .spawn)) }
    }
    if parksLeft > 0 {
      for vmm in vmms where vmm.works && vmm.isExecuting && vmm.isConnected && !vmm.isParkAsked {
        choices.append((1, .park(vmm)))
      }
    }
    guard faultsLeft > 0, host.truth != nil else { return }
    let busy = host.attemptIsRunning ? host.journal?.phase == .idle ? 2 : 1 : 10
    if random.once(in: settings.faultEvery * busy) {
      choices.removeAll(keepingCapacity: true)
      choices.append((1, .fault))
    }
  }

  func take(_ step: Step) throws(Violation) {
    steps += 1
    coverage.count(.steps)
    endedByOwner = false
    isFaultStep = false
    switch step {
    case .order(let vmm): try takeOrder(vmm)
    case .body(let vmm): try work(vmm)
    case .connect(let vmm): connect(vmm)
    case .exit(let vmm): exit(vmm)
    case .kill(let vmm):
      trace("\(name(vmm.id)) is ended by SIGKILL")
      die(vmm)
    case .record(let link, let vmm): try takeRecord(link, vmm)
    case .closed(let link, let vmm): try noticeClose(link, vmm)
    case .death(let vmm): try noticeDeath(vmm)
    case .deadline(let deadline, let handoff): try pass(deadline, handoff)
    case .settle: try settle()
    case .start: try startRegistry()
    case .spawn: spawn()
    case .wake(let vmm): wake(vmm)
    case .park(let vmm): askToPark(vmm)
    case .fault: try injectFault()
    }
    try checkStep()
  }

  func randomDeadline() -> (Deadline, UInt64)? {
    guard host.isUp, !host.deadlines.isEmpty else { return nil }
    let (deadline, handoff) = host.deadlines[random.below(host.deadlines.count)]
    return (deadline, handoff)
  }

  func breaks(_ breakage: Breakage) -> Bool { settings.breakage == breakage }

  // MARK: Processes

  @discardableResult func spawn(isFresh: Bool = false) -> VMM {
    successorsLeft -= 1
    let number = vmms.count + 1
    let speed = settings.faults == 0 ? 4 : [1, 4, 16][random.below(3)]
    let vmm = VMM(
      id: ProcessID(pid: Int32(number), startTime: UInt64(number)), way: random.pick(settings.ways),
      vm: kernel.makeVM(), speed: speed, successor: Successor(isFresh: isFresh))
    vmm.isIlliterate = settings.faults > 0 && !isQuiet && random.once(in: 40)
    vmms.append(vmm)
    trace("\(name(vmm.id)) starts")
    return vmm
  }

  func wake(_ vmm: VMM) {
    trace("\(name(vmm.id)) goes on after a stop")
    vmm.isHung = false
    coverage.count(.lateWakeups)
  }

  func exit(_ vmm: VMM) {
    trace("\(name(vmm.id)) exits")
    die(vmm)
  }

  /// The process ends; what it had sent stays on its way.
  func die(_ vmm: VMM) {
    vmm.isAlive = false
    vmm.isHung = false
    vmm.isExecuting = false
    vmm.isSentenced = false
    if let link = vmm.link {
      link.isOpenAtVMM = false
      link.toVMM = []
    }
    vmm.link = nil
    vmm.hasRAM = false
  }

  func vmm(_ id: ProcessID?) -> VMM? {
    guard let id else { return nil }
    return vmms[Int(id.pid) - 1]
  }

  func name(_ id: ProcessID?) -> String { id.map { "vmm\($0.pid)" } ?? "nobody" }
}
