import ArgumentParser
import LinuxOS
import RegistryInterface

struct UpgradeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "upgrade", abstract: "Hand one guest, several or all to new processes.",
    discussion: """
      The registry records the intent and lets the source prepare; then the successor is started: by the service \
      manager in the guest's other slot (baton-vmm-a@GUEST or baton-vmm-b@GUEST), or with --exec by batonctl, \
      in a session of its own, so that it survives batonctl. How it ended the registry tells. The handoff goes on \
      if batonctl is ended.
      """)

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guests' names.")
  var guests: [String] = []

  @Flag(help: "All guests that have an owner or wait for one.")
  var all = false

  @Flag(help: "With --all: only guests whose owner runs another program than its unit would start now.")
  var outdated = false

  @Option(help: ArgumentHelp("How many guests to hand over at once.", valueName: "count"))
  var maxParallel = 1

  @Option(
    help: ArgumentHelp("Begin no further guest once so many have failed. Default: 1.", valueName: "count"))
  var maxFailures: Int?

  @Option(
    help: ArgumentHelp("How long each guest may wait for its successor to attach.", valueName: "seconds"))
  var deadline: Double?

  @Flag(help: "Go on with the next guests however many have failed.")
  var keepGoing = false

  @Flag(help: "Go on although a check of preflight fails.")
  var ignorePreflight = false

  @Flag(help: "Start nothing: something else starts the successors.")
  var noStart = false

  @Option(
    help: ArgumentHelp(
      "Append the successor's output to this file; {guest} becomes the guest's name.", valueName: "path"))
  var execLog = "/dev/null"

  @Option(
    help: ArgumentHelp(
      "If the local way is refused, plan to move the guest to this host; see migrate.",
      valueName: "host[:port]"))
  var fallback: RemoteHost?

  @OptionGroup var migration: MigrationOptions

  @Option(
    parsing: .remaining,
    help: ArgumentHelp(
      "Start this program as the successor; everything that follows are its arguments. {guest} becomes the "
        + "guest's name.", valueName: "program"))
  var exec: [String] = []

  func validate() throws {
    if all != guests.isEmpty { throw ValidationError("name the guests, or use --all") }
    if outdated && !all { throw ValidationError("--outdated goes with --all") }
    if maxParallel < 1 { throw ValidationError("--max-parallel is at least 1") }
    if let maxFailures, maxFailures < 1 { throw ValidationError("--max-failures is at least 1") }
    if maxFailures != nil && keepGoing {
      throw ValidationError("--keep-going and --max-failures contradict each other")
    }
    if fallback != nil && (all || guests.count != 1) {
      throw ValidationError("--fallback goes with one guest")
    }
    if fallback == nil && migration.isGiven {
      throw ValidationError("--yes, --max-pause, --max-time and --bandwidth go with --fallback")
    }
    if noStart && !exec.isEmpty { throw ValidationError("--no-start and --exec contradict each other") }
    if let deadline, !(deadline > 0 && deadline <= 1e6) {
      throw ValidationError("--deadline is a number of seconds above 0")
    }
  }

  func run() throws {
    try global.run("upgrade") { () throws(CommandFailure) in
      if fallback != nil {
        try MigrationRun.checkAnswer(
          isPlanOnly: false, isAccepted: migration.yes, isJSON: global.json, canAsk: Question.canAsk)
      }
      let names = try names()
      if names.isEmpty, outdated, !global.json, !global.quiet {
        global.printer.write(["no guest is known to run an outdated program"])
        return .success
      }
      let plan = UpgradePlan(
        guests: names, maximumParallel: maxParallel, maximumFailures: keepGoing ? .max : maxFailures ?? 1,
        deadlineMicroseconds: deadline.map { UInt64($0 * 1e6) }, ignoresPreflight: ignorePreflight,
        starter: try starter(), socketPath: global.socketPath, timeoutNanoseconds: global.timeoutNanoseconds)
      let run = UpgradeRun(plan, printer: global.printer)
      try run.run()
      let status = run.report()
      guard let fallback, let (attempt, report) = run.onlyGuest else { return status }
      return fallBack(to: fallback, status, FallbackDecision(attempt, report))
    }
  }

  /// Moves the guest if the local way was refused.
  private func fallBack(
    to host: RemoteHost, _ status: CommandStatus, _ decision: FallbackDecision
  ) -> CommandStatus {
    guard status != .success, let guest = guests.first else { return status }
    switch decision {
    case .leave(let why):
      if !global.quiet { global.printer.note(PlainText.clean("\(guest): not moved to \(host): \(why)")) }
      return status
    case .move(let reason):
      global.printer.note(
        PlainText.clean(
          "\(guest): the local way is refused (\(reason)); a move to \(host) is planned instead"))
      do throws(CommandFailure) {
        return try MigrationRun(
          MigrationRun.Order(
            guest: guest, host: host, limits: migration.limits, isAccepted: migration.yes,
            fallbackFrom: reason, socketPath: global.socketPath,
            timeoutNanoseconds: global.timeoutNanoseconds),
          printer: global.printer
        ).run()
      } catch {
        global.printer.report(error, verb: "migrate", guest: guest)
        return error.status
      }
    }
  }

  private func starter() throws(CommandFailure) -> UpgradePlan.Starter {
    if noStart { return .others }
    return exec.isEmpty ? .slots(try ManagerConnection()) : .program(exec, log: execLog)
  }

  /// The guests, each once, in the order given or by name.
  private func names() throws(CommandFailure) -> [String] {
    guard all else {
      var seen: Set<String> = []
      return guests.filter { seen.insert($0).inserted }
    }
    let reply: ListReply = try global.ask(.list, NoParameters())
    let candidates = reply.guests.filter {
      switch $0.state {
      case .running, .preparing, .frozen, .staged, .claimed, .takingBack, .waiting: true
      case .lost, .ended, .departing, .departed, .arriving: false
      }
    }
    guard outdated else { return candidates.map(\.name) }
    let survey = ProgramSurvey()
    var names: [String] = []
    for guest in candidates {
      let program = survey.program(of: guest)
      // What waits in custody has no owner; whichever program takes it is the new one.
      if program.isOutdated == true || guest.owner == nil {
        names.append(guest.name)
      } else if program.isOutdated == nil, !global.quiet {
        global.printer.note(
          PlainText.clean("\(guest.name): left out, \(program.detail ?? "its program is not known")"))
      }
    }
    return names
  }
}
