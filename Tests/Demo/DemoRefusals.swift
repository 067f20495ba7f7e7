import Harness
import LinuxOS
import RegistryInterface

/// Five things that nobody may do, tried, and what the registry says to each.
struct DemoRefusals {
  /// The user and group `nobody`.
  static let stranger: UInt32 = 65_534

  let bench: Workbench
  let output: DemoOutput
  let plan: GuestPlan

  struct Count {
    var shown = 0
    var skipped = 0
    var failed = 0
  }

  /// What came of one attempt.
  private enum Outcome {
    case refused(name: String, sentence: String)
    case skipped(String)
  }

  func show() throws -> Count {
    output.heading("What is refused")
    var count = Count()
    let number = try bench.guest(plan.name).lastHandoff ?? 0
    try record(
      "batonUsed", "a process says that it has the baton of handoff \(number), which was used", &count
    ) { try claim(number) }
    try record(
      "batonUnknown", "a process says that it has the baton of handoff \(number + 1_000)", &count
    ) { try claim(number + 1_000) }
    try record("secondOwner", "a VMM insists on being the first owner of a guest that runs", &count) {
      try refusal(of: bench.startVMM(plan, extra: ["--fresh"]))
    }
    try record("wrongPeer", "a VMM of the user nobody wants the guest", &count, wrongPeer)
    try record(
      "sourceDestroyed",
      "a source without custody and the claimant are killed before the baton was used", &count,
      sourceDestroyed)
    return count
  }

  private func record(
    _ name: String, _ how: String, _ count: inout Count, _ attempt: () throws -> Outcome
  ) throws {
    switch try attempt() {
    case .skipped(let why):
      count.skipped += 1
      output.fact(name, "SKIPPED: \(why)")
      output.emit(.init(kind: "refusal", name: name, sentence: why, how: how, skipped: true))
    case .refused(let found, let sentence):
      let isExpected = found == name
      if isExpected { count.shown += 1 } else { count.failed += 1 }
      output.fact(found, how, isExpected)
      output.quotation(sentence)
      output.emit(
        .init(
          kind: "refusal", name: found, sentence: sentence, how: how, skipped: false,
          asExpected: isExpected))
    }
  }

  // MARK: Attempts

  /// A process of its own, because the registry ends what it has told to go.
  private func claim(_ handoff: UInt64) throws -> Outcome {
    let path = "\(bench.directory)/claim-\(handoff).out"
    let file = try Files.open(path, .createReadWrite)
    let process = try TestProcess(
      name: "claimant", log: "\(bench.directory)/claimant.log",
      arguments: [
        try ThisProcess.programPath(), "claim", "--registry", bench.handoffSocket, "--guest", plan.name,
        "--handoff", "\(handoff)",
      ], output: file.number)
    guard try process.waitForEnd() == .exited(status: 0) else {
      throw HarnessFailure("the claimant did not end as it should\n\(process.logTail())")
    }
    let lines = try TextFile.read(path).split(separator: "\n")
    guard lines.count == 2 else { throw HarnessFailure("the claimant said \(lines)") }
    return .refused(name: String(lines[0]), sentence: String(lines[1]))
  }

  private func refusal(of vmm: VMM) throws -> Outcome {
    let event = try vmm.wait(for: "refused")
    try vmm.process.waitForEnd()
    return .refused(name: event.refusal ?? "", sentence: event.text ?? "")
  }

  private func wrongPeer() throws -> Outcome {
    guard ThisProcess.effectiveUser == 0 else {
      return .skipped("only root can start a process of another user")
    }
    // The build may lie in a directory that others cannot enter.
    let copy = "\(bench.directory)/baton-vmm"
    let file = try Files.open(copy, .createReadWrite)
    try file.write(try TextFile.bytes(try Programs.vmm.path()), at: 0)
    try Files.changeMode(of: copy, to: 0o755)
    let events = try EventFile(path: "\(bench.directory)/stranger.events")
    try Files.changeMode(of: events.path, to: 0o666)
    var small = plan
    small.vcpu = "software"
    let process: TestProcess
    do {
      // A file that is open for writing cannot be executed.
      _ = consume file
      process = try TestProcess(
        name: "stranger", log: "\(bench.directory)/stranger.log",
        arguments: [copy] + bench.vmmArguments(small, events: events.path), user: Self.stranger)
    } catch {
      return .skipped("a process of the user nobody cannot be started: \(error)")
    }
    let end = try process.waitForEnd()
    guard let event = try events.all().last(where: { $0.event == "refused" }) else {
      return .skipped("the user nobody cannot run baton-vmm here (\(end)): \(process.logTail(lines: 2))")
    }
    return .refused(name: event.refusal ?? "", sentence: event.text ?? "")
  }

  private func sourceDestroyed() throws -> Outcome {
    var lost = GuestPlan("vm2", memory: "64M", protection: .model)
    lost.vcpu = "software"
    lost.hasCustody = false
    let source = try bench.startGuest(lost, crashAt: "sourceStaged")
    let client = try bench.client()
    try client.beginUpgrade(lost.name)
    let successor = try bench.startVMM(lost, stopAt: "successorClaimed")
    try source.process.waitForEnd()
    try Wait.until("the claimant's standstill") { successor.process.isStopped ? () : nil }
    successor.process.kill()
    let (handoff, guest) = try client.finishUpgrade()
    guard let refusal = handoff.refusal, guest.state == .lost else {
      throw HarnessFailure("the guest without a source is \(guest.state.words)")
    }
    return .refused(name: refusal.name, sentence: refusal.sentence)
  }
}
