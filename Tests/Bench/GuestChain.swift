import Harness
import LinuxOS

/// How a guest of the reference VMM is set up.
struct GuestSetup {
  var name: String
  var ramMebibytes: Int
  var way = ContextWay.token
  var vcpu = "software"
  var dutyPercent = 100

  /// The command line, the same for the first VMM and every successor.
  func arguments(_ workspace: Workspace, events: String) -> [String] {
    [
      "--vm", name, "--memory", "\(ramMebibytes)M", "--vcpus", "2", "--vcpu", vcpu, "--sev", "model",
      "--handoff", way.rawValue, "--model-socket", workspace.modelSocket, "--registry",
      workspace.handoffSocket, "--duty",
      "\(dutyPercent)", "--events", events, "--patience", "600000",
    ]
  }
}

/// One guest that goes from process to process.
final class GuestChain {
  private let setup: GuestSetup
  private let workspace: Workspace
  private let log: String
  private let arguments: [String]
  private var events: EventReader
  private var owner: RunningProgram

  /// Starts the guest and waits until it runs.
  init(_ setup: GuestSetup, _ workspace: Workspace) throws {
    self.setup = setup
    self.workspace = workspace
    log = "vmm-\(setup.name).log"
    let path = workspace.path("events-\(setup.name)")
    arguments = setup.arguments(workspace, events: path)
    events = try EventReader(path)
    owner = try workspace.start("baton-vmm", arguments, log: log)
    _ = try event(within: 300) { $0.event == "running" }
  }

  /// Hands the guest to a fresh process.
  ///
  /// Waiting means waiting for the source's end, so that nothing of this process runs during the blackout.
  /// - Returns: The blackout by the guest's own stamps, nanoseconds.
  func handOver() throws -> UInt64 {
    Wait.pause(milliseconds: 20)
    let source = owner
    let successor = try workspace.start("baton-vmm", arguments, log: log)
    try events.forget()
    try source.wait(orEndOf: successor, seconds: 300)
    owner = successor
    let running = try event(within: 10) { $0.event == "running" && $0.pid == successor.pid }
    let staged = try event(within: 10) { $0.event == "staged" && $0.pid == source.pid }
    guard let last = staged.lastInstruction, let first = running.firstInstruction, first > last else {
      throw BenchError("guest \(setup.name): the stamps of a handoff make no sense")
    }
    return first - last
  }

  private func event(within seconds: UInt64, _ matches: (EventLine) -> Bool) throws -> EventLine {
    try events.first(
      within: seconds,
      orFailure: {
        owner.isRunning
          ? nil : "guest \(setup.name): its VMM ended; \(RunningProgram.tail(workspace.path(log)))"
      }, where: matches)
  }

  /// Ends the guest and waits until its memory is free.
  func end() throws {
    try owner.terminate()
    try owner.waitForSuccess(seconds: 60)
  }
}
