import Harness
import LinuxOS
import RegistryInterface

/// What the demo does, in order.
struct DemoScenario {
  let bench: Workbench
  let output: DemoOutput
  let handoffs: Int
  let memory: ByteCount
  let vcpu: String
  let way: DemoWay
  let encryptsState: Bool

  /// - Returns: whether everything was as it should be.
  func run() throws -> Bool {
    let isRoot = ThisProcess.effectiveUser == 0
    // So that a process of another user can reach the socket, and is refused for who it is.
    if isRoot { try Files.changeMode(of: bench.directory, to: 0o711) }
    let registry = try bench.startRegistry(
      ["--quiet"] + (isRoot ? ["--group", "\(DemoRefusals.stranger)"] : []))
    let model = try bench.startModel(encryptsState ? ["--es-asids", "100"] : [])
    var plan = GuestPlan("vm1", memory: memory.text, protection: .model)
    plan.vcpu = vcpu
    plan.disk = "\(bench.directory)/disk.img"
    plan.build = "build 1"
    plan.handoff = way.after(0)
    // Successors learn it from their source.
    plan.encryptsState = encryptsState
    let console = try ConsoleReader()
    let first = try bench.startGuest(plan, console: console)
    console.closeWriteEnd()
    plan.encryptsState = false
    let bystander = try LockBystander(path: plan.disk ?? "")
    try introduce(plan, first, registry: registry.pid, model: model.pid)

    let (last, blackouts) = try handOver(plan, first, console)
    let report = try last.report()
    guard let verdict = report.report else { throw HarnessFailure("the guest gave no verdict") }
    let guestIsGood = try show(verdict, report.remarks ?? [], console, bystander)
    let refused = try DemoRefusals(bench: bench, output: output, plan: plan).show()

    let isGood = try end(last, console, bystander) && guestIsGood && refused.failed == 0
    summarize(blackouts, refused, isGood)
    return isGood
  }

  private func introduce(_ plan: GuestPlan, _ vmm: VMM, registry: Int32, model: Int32) throws {
    let isReal = try vmm.last("started")?.vcpus == "kvm"
    output.line(
      output.style.paint(
        "A running guest goes from one VMM process to the next, \(handoffs == 1 ? "once" : "\(handoffs) times")",
        .strong))
    output.line()
    output.fact(
      "guest",
      "\(plan.name), \(PlainText.size(bytes: memory.bytes)) of RAM, \(plan.vcpus) vCPUs, in pid \(vmm.pid)")
    output.fact(
      "vCPUs",
      isReal
        ? "real: they run in /dev/kvm"
        : "software: threads that do what the guest would do, because /dev/kvm cannot be used here or was not wanted"
    )
    output.fact(
      "SEV",
      "\(encryptsState ? "ES, by " : "")the software model, sevmodeld, pid \(model): the kernel's rules, contexts that are really handed on; it protects nothing"
    )
    output.fact("way", wayInWords)
    let lockable = ThisProcess.lockableByteCount
    let limit =
      lockable < memory.bytes
      ? "RLIMIT_MEMLOCK is \(PlainText.size(bytes: lockable)) here: the model does not mind, a kernel would refuse to pin this guest's RAM"
      : nil
    if let limit { output.fact("memory limit", limit) }
    output.fact("registry", "batond, pid \(registry): who may run the guest, and the time limits")
    output.fact("disk", "under a write lock that travels; a bystander tries to take it all the time")
    output.fact("console", "a pipe that this program reads and checks line by line")
    output.emit(
      .init(
        kind: "start", sentence: limit, vcpus: isReal ? "kvm" : "software", memoryBytes: memory.bytes))
  }

  private var wayInWords: String {
    switch way {
    case .token: "token: LOCAL_SEND and LOCAL_RECEIVE, a secret that is good for one receive"
    case .move: "move: VM_MOVE_ENC_CONTEXT_FROM, out of a VM whose descriptor only the claimant gets"
    case .alternate: "token and move in turn"
    }
  }

  // MARK: Handoffs

  private func handOver(
    _ plan: GuestPlan, _ first: VMM, _ console: ConsoleReader
  ) throws -> (last: VMM, blackouts: [UInt64]) {
    var owner = first
    var blackouts: [UInt64] = []
    for number in 1...handoffs {
      try letItWork(owner, console)
      var next = plan
      next.build = "build \(number + 1)"
      next.handoff = way.after(number)
      let (successor, handoff) = try bench.handOver(next)
      guard handoff.outcome == .committed, let blackout = handoff.blackoutMicroseconds else {
        throw HarnessFailure(
          "handoff \(number) ended as \(handoff.outcome.words): \(handoff.refusal?.sentence ?? "")")
      }
      try successor.wait(for: "running")
      guard try owner.process.waitForEnd() == .exited(status: 0) else {
        throw HarnessFailure("the source, pid \(owner.pid), did not end with status 0")
      }
      // The registry adds the release of the source to the timeline when that process is gone.
      let whole = try bench.client().describe(plan.name).handoffs.last ?? handoff
      output.line()
      for line in TimelinePicture(whole, style: output.style).lines(width: output.width) { output.line(line) }
      output.emit(.init(kind: "handoff", handoff: whole))
      blackouts.append(blackout)
      owner = successor
    }
    try letItWork(owner, console)
    return (owner, blackouts)
  }

  /// Waits until the guest has checked as many pages as it has since the last handoff, and has written to its
  /// console.
  private func letItWork(_ owner: VMM, _ console: ConsoleReader) throws {
    let before = try owner.verdict()
    let isReal = try owner.last("started")?.vcpus == "kvm"
    let pages = isReal ? 2_048 : memory.bytes / 4_096
    // In its first round the guest has nothing to check yet.
    let goal = before.pagesChecked + pages
    try Wait.until("the guest's check of \(pages) pages", seconds: 100) {
      try owner.verdict().pagesChecked >= goal ? () : nil
    }
    guard console.advances() else { throw HarnessFailure("the console stands still") }
  }

  // MARK: Verdicts

  private func show(
    _ verdict: GuestVerdict, _ remarks: [String], _ console: ConsoleReader, _ bystander: LockBystander
  ) throws -> Bool {
    output.heading("What the guest says, after \(handoffs) handoffs and \(handoffs + 1) processes")
    output.fact(
      "pages",
      "\(Figure.grouped(verdict.pagesChecked)) checked against what it wrote, \(verdict.pageErrors) errors",
      verdict.pageErrors == 0 && verdict.pagesChecked > 0)
    output.fact(
      "counter", "\(Figure.grouped(verdict.counter)), never went back", verdict.problems.isEmpty)
    output.fact(
      "largest gap",
      "\(Figure.nanoseconds(verdict.largestGapNanoseconds)) between two of its own steps, handoffs and host's other work together"
    )
    output.fact("clock", "\(verdict.clockLagNanoseconds) ns lag between kvmclock and TSC")
    output.fact("timer", "\(Figure.grouped(verdict.timerTicks)) interrupts")
    for problem in verdict.problems { output.fact("problem", problem, false) }
    for remark in remarks { output.fact("remark", remark) }
    output.heading("What others saw")
    let lines = console.lines
    output.fact(
      "console",
      console.fault
        ?? "\(Figure.grouped(lines)) lines read from the pipe, gapless: none missing, none doubled",
      console.fault == nil && lines > 0)
    let attempts = bystander.attempts
    output.fact(
      "disk lock",
      "a bystander tried \(Figure.grouped(attempts)) times and got it \(bystander.successes) times",
      bystander.successes == 0 && attempts > 0)
    output.emit(
      .init(
        kind: "verdict", verdict: verdict, consoleLines: lines, consoleGapless: console.fault == nil,
        lockAttempts: attempts, lockSuccesses: bystander.successes, processes: handoffs + 1))
    return verdict.pageErrors == 0 && verdict.pagesChecked > 0 && verdict.problems.isEmpty
      && console.fault == nil && lines > 0 && bystander.successes == 0 && attempts > 0
  }

  /// Ends the guest. The bystander gets the lock then, which shows that it could have had it before.
  private func end(_ last: VMM, _ console: ConsoleReader, _ bystander: LockBystander) throws -> Bool {
    guard bystander.successes == 0 else { return false }
    output.heading("The end")
    last.process.signal(15)
    let end = try last.process.waitForEnd()
    let isReleased = Wait.holds(seconds: 5) { bystander.successes > 0 }
    bystander.end()
    let isWhole = Wait.holds(seconds: 5) { console.hasEnded } && console.fault == nil
    output.fact("guest", "ended by SIGTERM, exit status 0", end == .exited(status: 0))
    output.fact("disk lock", "now the bystander has it, so it really tried", isReleased)
    output.fact("console", "\(Figure.grouped(console.lines)) lines to the last one, gapless", isWhole)
    return end == .exited(status: 0) && isReleased && isWhole
  }

  private func summarize(_ blackouts: [UInt64], _ refused: DemoRefusals.Count, _ isGood: Bool) {
    output.emit(
      .init(kind: "summary", handoffs: blackouts.count, blackoutMicroseconds: blackouts, good: isGood))
    let range =
      "\(PlainText.duration(microseconds: blackouts.min() ?? 0)) to \(PlainText.duration(microseconds: blackouts.max() ?? 0))"
    let skipped = refused.skipped == 0 ? "" : ", \(refused.skipped) skipped"
    let text =
      "\(isGood ? "All is well" : "Something is wrong"): \(blackouts.count) handoffs, blackout \(range), "
      + "\(refused.shown) refusals as they should be\(skipped)"
    output.line()
    output.line(output.style.paint(text, isGood ? .good : .bad))
  }
}

/// Numbers for people.
enum Figure {
  static func grouped(_ value: UInt64) -> String { PlainText.grouped(value) }
  static func nanoseconds(_ value: UInt64) -> String { PlainText.duration(microseconds: value / 1_000) }
}
