import Harness
import LinuxOS

/// A plain guest handed from C program to C program by libbaton, beside the same by the Swift library, in turns; and what
/// the library costs a program that loads it.
struct LibraryComparison {
  let workspace: Workspace

  private static let script = "Tests/CLibrary/bench"

  func measure(_ size: BenchPlan.Size) throws -> Results.Library {
    guard (try? Files.open(Self.script, .readOnly)) != nil else {
      return skipped(
        "\(Self.script) is not in this folder; Scripts/bench starts this program in the right one")
    }
    let folder = workspace.path("library")
    try Files.makeDirectory(folder)
    Progress.say("libbaton: building the library and guest_vmm.c")
    try RunningProgram(Self.script, [folder], log: workspace.path("library.log"))
      .waitForSuccess(seconds: 3600)

    let registry = try workspace.startRegistry()
    var inSwift = Distribution()
    var inC = Distribution()
    for block in 0..<size.blocks {
      let count = size.handoffs * (block + 1) / size.blocks - size.handoffs * block / size.blocks
      for isC in [false, true] {
        Progress.say(
          "libbaton, block \(block + 1) of \(size.blocks): \(count) handoffs in \(isC ? "C" : "Swift")")
        let chain = try PlainChain(
          name: "plain-\(block)-\(isC ? "c" : "swift")", ramMebibytes: size.ramMebibytes,
          program: isC ? "\(folder)/guest-vmm-c" : workspace.program("baton-vmm"), workspace)
        for _ in 0..<count {
          let blackout = try chain.handOver()
          if isC { inC.record(nanoseconds: blackout) } else { inSwift.record(nanoseconds: blackout) }
        }
        try chain.end()
      }
    }
    registry.kill()
    guard let swift = inSwift.figures, let c = inC.figures else { throw BenchError("no handoff was made") }
    return Results.Library(
      reason: nil, ramMebibytes: size.ramMebibytes, swift: swift, c: c,
      byteCount: try Files.open("\(folder)/libbaton.so.1", .readOnly).identity().byteCount,
      loading: try loading(folder, rounds: size.handoffs))
  }

  private func skipped(_ reason: String) -> Results.Library {
    Progress.say("SKIPPED: libbaton, because \(reason)")
    return Results.Library(
      reason: reason, ramMebibytes: 0, swift: nil, c: nil, byteCount: 0, loading: [])
  }

  /// Starting and ending a process with and without the library, and `dlopen` of it.
  private func loading(_ folder: String, rounds: Int) throws -> [Results.Phase] {
    Progress.say("libbaton: loading it \(rounds) times")
    let output = workspace.path("load-time.out")
    try RunningProgram(
      "\(folder)/load-time", ["\(rounds)", "\(folder)/libbaton.so.1", "\(folder)/load-time-linked"],
      output: output, log: workspace.path("library.log")
    ).waitForSuccess(seconds: 600)
    var durations: [String: Distribution] = [:]
    for line in try TextFile.read(output).split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2, let nanoseconds = UInt64(words[1]) else {
        throw BenchError("load-time said \(line)")
      }
      durations[String(words[0]), default: Distribution()].record(nanoseconds: nanoseconds)
    }
    return ["execWithout", "execWith", "open"].compactMap { name in
      durations[name]?.figures.map { Results.Phase(name: name, figures: $0) }
    }
  }
}

/// One plain guest that goes from process to process of one program.
final class PlainChain {
  private let workspace: Workspace
  private let name: String
  private let program: String
  private let arguments: [String]
  private var events: EventReader
  private var owner: RunningProgram

  /// Starts the guest and waits until it runs.
  init(name: String, ramMebibytes: Int, program: String, _ workspace: Workspace) throws {
    self.workspace = workspace
    self.name = name
    self.program = program
    let path = workspace.path("events-\(name)")
    arguments = [
      "--vm", name, "--memory", "\(ramMebibytes)M", "--vcpus", "2", "--vcpu", "software", "--registry",
      workspace.handoffSocket, "--events", path,
    ]
    events = try EventReader(path)
    owner = try RunningProgram(program, arguments, log: workspace.path("vmm-\(name).log"))
    _ = try event { $0.event == "running" }
  }

  /// Hands the guest to a fresh process.
  ///
  /// - Returns: The blackout by the guest's own stamps, nanoseconds.
  func handOver() throws -> UInt64 {
    Wait.pause(milliseconds: 20)
    let source = owner
    let successor = try RunningProgram(program, arguments, log: workspace.path("vmm-\(name).log"))
    try events.forget()
    try source.wait(orEndOf: successor, seconds: 300)
    owner = successor
    let running = try event { $0.event == "running" && $0.pid == successor.pid }
    let staged = try event { $0.event == "staged" && $0.pid == source.pid }
    guard let last = staged.lastInstruction, let first = running.firstInstruction, first > last else {
      throw BenchError("guest \(name): the stamps of a handoff make no sense")
    }
    return first - last
  }

  private func event(_ matches: (EventLine) -> Bool) throws -> EventLine {
    try events.first(
      within: 60,
      orFailure: {
        owner.isRunning
          ? nil : "guest \(name): its VMM ended; \(RunningProgram.tail(workspace.path("vmm-\(name).log")))"
      }, where: matches)
  }

  /// Ends the guest and waits until its memory is free.
  func end() throws {
    try owner.terminate()
    try owner.waitForSuccess(seconds: 60)
  }
}
