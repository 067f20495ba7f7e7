import ArgumentParser
import FoundationEssentials
import LinuxOS

/// Measures the blackout of a handoff against the unavoidable minimum, and what many guests cost.
@main
struct BatonBench: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "baton-bench",
    abstract: "Measure the blackout of handoffs beside a C program that does only what is unavoidable.",
    discussion: """
      Progress goes to stderr, the table to stdout, and with --json the same as JSON to a file. A missed target \
      is said and is no failure: the exit status is 0 unless the measurement itself could not be made.
      """)

  @Flag(
    help: "Ten handoffs at 64 and 256 MiB, eight guests, fifty registered guests: a check in a few minutes.")
  var quick = false

  @Option(help: ArgumentHelp("Write the results as JSON to this file.", valueName: "file"))
  var json: String?

  @Option(
    help: ArgumentHelp("The folder with the programs; by default that of this one.", valueName: "folder"))
  var programs: String?

  @Option(
    help: ArgumentHelp(
      "Only these parts: blackout, move, kvm, rolling, memory, model, libbaton, remote, migration, systemd. Default: all.",
      valueName: "part"
    ))
  var only: [Part] = []

  @Option(
    help: ArgumentHelp(
      "Only these RAM sizes, in MiB, for the parts blackout, move, migration and systemd.", valueName: "MiB"))
  var size: [Int] = []

  @Option(
    help: ArgumentHelp(
      "Measure under the systemd that runs here, and write what came of it to this file.", visibility: .hidden
    ))
  var units: String?

  @Option(help: ArgumentHelp("Handoffs at each RAM size instead of the usual number.", valueName: "count"))
  var handoffs: Int?

  @Flag(help: "Keep the folder with sockets and logs, and say where it is.")
  var keep = false

  func validate() throws {
    if let handoffs, handoffs < 1 { throw ValidationError("--handoffs is at least 1") }
    if size.contains(where: { $0 < 16 }) { throw ValidationError("--size is at least 16 MiB") }
  }

  func run() throws {
    var plan = quick ? BenchPlan.quick : BenchPlan.full
    plan.restrict(toSizes: size, handoffs: handoffs)
    let parts = Set(only.isEmpty ? Part.allCases : only)
    do {
      let workspace = try Workspace(programs: try programs ?? Self.ownFolder(), keeps: keep)
      defer { workspace.remove() }
      if let units {
        let results = try UnitMeasurement(workspace: workspace).measure(plan.units)
        try Self.write(Array(JSONEncoder().encode(results)), to: units)
        return
      }
      let results = try Bench(plan: plan, parts: parts, workspace: workspace, restrictions: restrictions)
        .run()
      StandardStream.output.write(ResultTable(results).text)
      if let json {
        try Self.write(results.encoded(), to: json)
        Progress.say("results are in \(json)")
      }
      if !results.failures.isEmpty { throw ExitCode.failure }
    } catch let error as BenchError {
      StandardStream.error.write("baton-bench: \(error)\n")
      throw ExitCode.failure
    }
  }

  /// What restricts the plan, to be said once more to the program in the container.
  private var restrictions: [String] {
    (quick ? ["--quick"] : []) + size.flatMap { ["--size", "\($0)"] }
      + (handoffs.map { ["--handoffs", "\($0)"] } ?? [])
  }

  private static func write(_ bytes: [UInt8], to path: String) throws {
    try Files.remove(path)
    try Files.open(path, .createNew).write(bytes, at: 0)
  }

  private static func ownFolder() throws -> String {
    let path = try ThisProcess.programPath()
    return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
  }
}

/// A part of the measurement.
enum Part: String, ExpressibleByArgument, CaseIterable, Hashable {
  /// Software vCPUs against the C program.
  case blackout
  /// The same for contexts that are moved.
  case move
  /// Real vCPUs.
  case kvm
  /// Many guests upgraded in one go.
  case rolling
  /// The registry's memory with many guests.
  case memory
  /// The software model's own speed.
  case model
  /// The library for C beside the Swift one.
  case libbaton
  /// The way to another host, over loopback.
  case remote
  /// Whole migrations to another host.
  case migration
  /// The installed units in a container.
  case systemd
}
