import ArgumentParser
import RegistryInterface

struct UpgradeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "upgrade", abstract: "Hand one guest, several or all to new processes.",
    discussion: """
      The registry records the intent and lets the source prepare; then the successor is started. With --exec \
      batonctl starts it, in a session of its own, so that it survives batonctl; without --exec something else \
      has to start it. The handoff goes on if batonctl is ended.
      """)

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guests' names.")
  var guests: [String] = []

  @Flag(help: "All guests that have an owner or wait for one.")
  var all = false

  @Option(help: ArgumentHelp("How many guests to hand over at once.", valueName: "count"))
  var maxParallel = 1

  @Option(
    help: ArgumentHelp("How long each guest may wait for its successor to attach.", valueName: "seconds"))
  var deadline: Double?

  @Flag(help: "Go on with the next guests after a failure.")
  var keepGoing = false

  @Flag(help: "Go on although a check of preflight fails.")
  var ignorePreflight = false

  @Option(
    help: ArgumentHelp(
      "Append the successor's output to this file; {guest} becomes the guest's name.", valueName: "path"))
  var execLog = "/dev/null"

  @Option(
    parsing: .remaining,
    help: ArgumentHelp(
      "Start this program as the successor; everything that follows are its arguments. {guest} becomes the "
        + "guest's name.", valueName: "program"))
  var exec: [String] = []

  func validate() throws {
    if all != guests.isEmpty { throw ValidationError("name the guests, or use --all") }
    if maxParallel < 1 { throw ValidationError("--max-parallel is at least 1") }
    if let deadline, !(deadline > 0 && deadline <= 1e6) {
      throw ValidationError("--deadline is a number of seconds above 0")
    }
  }

  func run() throws {
    try global.run("upgrade") { () throws(CommandFailure) in
      let plan = UpgradePlan(
        guests: try names(), maximumParallel: maxParallel, keepsGoing: keepGoing,
        deadlineMicroseconds: deadline.map { UInt64($0 * 1e6) }, ignoresPreflight: ignorePreflight,
        program: exec, log: execLog, socketPath: global.socketPath,
        timeoutNanoseconds: global.timeoutNanoseconds)
      let run = UpgradeRun(plan, printer: global.printer)
      try run.run()
      return run.report()
    }
  }

  /// The guests, each once, in the order given or by name.
  private func names() throws(CommandFailure) -> [String] {
    guard all else {
      var seen: Set<String> = []
      return guests.filter { seen.insert($0).inserted }
    }
    let reply: ListReply = try global.ask(.list, NoParameters())
    return reply.guests.filter { $0.state != .lost && $0.state != .ended }.map(\.name)
  }
}

/// What an upgrade is to do.
struct UpgradePlan {
  let guests: [String]
  let maximumParallel: Int
  let keepsGoing: Bool
  let deadlineMicroseconds: UInt64?
  let ignoresPreflight: Bool
  /// The successor's program and arguments; empty if something else starts it.
  let program: [String]
  let log: String
  let socketPath: String
  let timeoutNanoseconds: UInt64?

  /// The successor's command line for a guest.
  func arguments(for guest: String) -> [String] {
    program.map { $0.replacing("{guest}", with: guest) }
  }

  /// The file for the successor's output.
  func log(for guest: String) -> String {
    log.replacing("{guest}", with: guest)
  }
}
