import Harness
import LinuxOS

/// Many small guests, upgraded with one command.
struct RollingUpgrade {
  let workspace: Workspace

  func measure(guests count: Int, parallel: Int) throws -> Results.Rolling {
    let registry = try workspace.startRegistry()
    Progress.say("starting \(count) guests of 64 MiB")
    let names = (1...count).map { "roll-\($0)" }
    var readers = try names.map { try EventReader(workspace.path("events-\($0)")) }
    var sources: [RunningProgram] = []
    for name in names {
      sources.append(
        try workspace.start("baton-vmm", arguments(name), log: "vmm-rolling.log"))
    }
    for index in names.indices {
      _ = try lines(until: "running", &readers[index], of: names[index], seconds: 120)
    }
    var successors: [Int32] = []
    // They are no children of this process: without this they would outlive a measurement that fails.
    defer { Self.end(successors) }
    Progress.say("upgrading \(count) guests, \(parallel) at a time")
    let begin = MonotonicClock.now()
    let reply = try workspace.control(
      [
        "upgrade", "--all", "--max-parallel", "\(parallel)", "--quiet", "--exec-log",
        workspace.path("vmm-rolling.log"),
      ], seconds: 600, program: [workspace.program("baton-vmm")] + arguments("{guest}"))
    let total = MonotonicClock.now() - begin
    guard reply.isEmpty else { throw BenchError("batonctl upgrade said: \(reply)") }
    var blackout = Distribution()
    for index in names.indices {
      let lines = try lines(until: "running", &readers[index], of: names[index], seconds: 20)
      guard let first = lines.last(where: { $0.event == "running" }),
        let staged = lines.last(where: { $0.event == "staged" }),
        let start = first.firstInstruction, let stop = staged.lastInstruction, start > stop
      else { throw BenchError("guest \(names[index]): the events of its handoff are not complete") }
      successors.append(first.pid)
      blackout.record(nanoseconds: start - stop)
    }
    for source in sources { try source.waitForSuccess(seconds: 30) }
    Self.end(successors)
    successors = []
    registry.kill()
    return Results.Rolling(
      guests: count, parallel: parallel, totalNanoseconds: total, blackout: blackout.figures)
  }

  private func arguments(_ name: String) -> [String] {
    GuestSetup(name: name, ramMebibytes: 64, dutyPercent: 1).arguments(
      workspace, events: workspace.path("events-\(name)"))
  }

  private func lines(
    until event: String, _ reader: inout EventReader, of guest: String, seconds: UInt64
  ) throws -> [EventLine] {
    let deadline = MonotonicClock.now() + seconds * 1_000_000_000
    var lines: [EventLine] = []
    while MonotonicClock.now() < deadline {
      lines += try reader.next()
      if lines.contains(where: { $0.event == event }) { return lines }
      Wait.pause(milliseconds: 10)
    }
    throw BenchError(
      "guest \(guest) did not say \(event) within \(seconds) s; \(RunningProgram.tail(workspace.path("vmm-rolling.log")))"
    )
  }

  /// Ends processes that batonctl started, which are no children of this one.
  private static func end(_ pids: [Int32]) {
    for pid in pids { try? Pidfd(pid: pid).signal(15) }
    for pid in pids {
      guard let process = try? Pidfd(pid: pid) else { continue }
      let ended = try? Poller.waitReadable(process.descriptor.number, timeoutNanoseconds: 10_000_000_000)
      if ended != true { try? process.signal(9) }
    }
  }
}
