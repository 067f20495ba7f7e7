import Harness
import LinuxOS

/// How a guest that goes from host to host is set up.
struct MigrationGuestSetup {
  var name: String
  var ramMebibytes: Int
  var sev = "none"
  /// While it fills its memory, on the first host.
  var firstDutyPercent = 100
  /// From the first migration on.
  var dutyPercent: Int
  /// Pages beyond so much are written once; nil for all of them again and again.
  var workingSet: String?

  var pageCount: UInt64 { UInt64(ramMebibytes) << 8 }

  /// The command line of all its VMMs.
  func arguments(duty: Int) -> [String] {
    [
      "--vm", name, "--memory", "\(ramMebibytes)M", "--vcpus", "2", "--vcpu", "software", "--sev", sev,
      "--duty", "\(duty)",
    ] + (workingSet.map { ["--working-set", $0] } ?? [])
  }
}

/// One guest that goes there and back.
final class MigrationGuest {
  /// What one migration came to.
  struct Journey {
    let predictedMilliseconds: UInt64
    let realMilliseconds: UInt64
    let predictedPauseMicroseconds: UInt64
    let realPauseMicroseconds: UInt64
    let pages: UInt64
    let bytes: UInt64
    /// Beside them, for the plan.
    let planBytes: UInt64
    /// Of all processes on both sides, from the plan's measuring on: registries, sidecars, models and VMMs with the
    /// guest's own work.
    let processorSeconds: Double
  }

  private let setup: MigrationGuestSetup
  private let workspace: Workspace
  private let hosts: [MigrationHost]
  /// Which host has it.
  private var place = 0
  private var owner: RunningProgram
  private var events: EventReader
  /// The largest memory of any of its VMMs beyond the guest's RAM, in bytes, from looks at twenty moments a second.
  private(set) var largestByteCount: UInt64 = 0

  /// Starts the guest on the first host, and waits until it has written all of its memory.
  init(_ setup: MigrationGuestSetup, _ hosts: [MigrationHost], _ workspace: Workspace) throws {
    self.setup = setup
    self.workspace = workspace
    self.hosts = hosts
    let path = workspace.path("events-\(setup.name)")
    events = try EventReader(path)
    owner = try hosts[0].startVMM(setup.arguments(duty: setup.firstDutyPercent), events: path)
    _ = try event("running", of: owner, within: 300)
    let deadline = MonotonicClock.now() + 600_000_000_000
    while try report().pagesWritten < setup.pageCount {
      guard MonotonicClock.now() < deadline else {
        throw BenchError("guest \(setup.name) did not write its memory within 600 s")
      }
      Wait.pause(milliseconds: 200)
    }
  }

  private var source: MigrationHost { hosts[place] }
  private var target: MigrationHost { hosts[1 - place] }

  /// Moves it to the other host.
  ///
  /// - Parameter onQuietMachine: Whether the machine is to be quiet before, which takes a guest that does not work
  ///   much.
  func migrate(
    _ options: [String] = [], seconds: UInt64, onQuietMachine: Bool = false
  ) throws -> Journey {
    let successor = try waitAtTarget()
    if onQuietMachine { try QuietMachine.wait() }
    defer { if owner !== successor { successor.kill() } }
    let before = try processorSeconds(owner, successor)
    let command = try MigrationCommand.run(
      [setup.name, "--to", target.address, "--yes"] + options, at: source, workspace, seconds: seconds
    ) {
      for vmm in [owner, successor] {
        largestByteCount = max(largestByteCount, (try? vmm.ownResidentByteCount()) ?? 0)
      }
    }
    guard command.end.exitStatus == 0, let predicted = command.end.predicted, let real = command.end.real,
      let pages = real.pages, let bytes = real.bytes
    else {
      throw BenchError("guest \(setup.name) did not move: \(command.end.error ?? source.vmmTail)")
    }
    // Until it is waited for, the kernel tells its times.
    for _ in 0..<3000 where try !owner.isOver() { Wait.pause(milliseconds: 10) }
    let after = try processorSeconds(owner, successor)
    try owner.waitForSuccess(seconds: 30)
    owner = successor
    place = 1 - place
    let found = try report().pageErrors ?? 0
    guard found == 0 else {
      throw BenchError("guest \(setup.name) found \(found) wrong pages after it was moved")
    }
    return Journey(
      predictedMilliseconds: predicted.milliseconds, realMilliseconds: real.milliseconds,
      predictedPauseMicroseconds: predicted.pauseMicroseconds, realPauseMicroseconds: real.pauseMicroseconds,
      pages: pages, bytes: bytes, planBytes: command.plan?.bytesSent ?? 0, processorSeconds: after - before)
  }

  /// Asks for the plan, and for the migration itself, which is to be refused.
  func askForRefusal(seconds: UInt64) throws -> MigrationCommand {
    let waiting = try waitAtTarget()
    defer { waiting.kill() }
    return try MigrationCommand.run(
      [setup.name, "--to", target.address, "--yes"], at: source, workspace, seconds: seconds)
  }

  private func waitAtTarget() throws -> RunningProgram {
    try events.forget()
    let vmm = try target.startVMM(
      setup.arguments(duty: setup.dutyPercent) + ["--incoming"], events: events.path)
    _ = try event("waiting", of: vmm, within: 300)
    return vmm
  }

  private func processorSeconds(_ vmms: RunningProgram...) throws -> Double {
    try hosts.reduce(0) { try $0 + $1.processorSeconds() }
      + vmms.reduce(0) { try $0 + $1.processorSeconds() }
  }

  /// What the guest says of itself.
  private func report() throws -> EventLine.Report {
    try events.forget()
    // SIGUSR1.
    try Pidfd(pid: owner.pid).signal(10)
    guard let report = try event("report", of: owner, within: 60).report else {
      throw BenchError("guest \(setup.name): a report says nothing")
    }
    return report
  }

  private func event(_ name: String, of vmm: RunningProgram, within seconds: UInt64) throws -> EventLine {
    try events.first(
      within: seconds,
      orFailure: {
        vmm.isRunning ? nil : "guest \(setup.name): its VMM ended; \(source.vmmTail); \(target.vmmTail)"
      }, where: { $0.event == name && $0.pid == vmm.pid })
  }

  /// Ends the guest and waits until its memory is free.
  func end() throws {
    try owner.terminate()
    try owner.waitForSuccess(seconds: 60)
  }
}
