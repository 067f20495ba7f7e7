import ArgumentParser
import RegistryInterface

struct MigrateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "migrate", abstract: "Move a guest to another host.",
    discussion: """
      Its memory is copied while it runs, which takes minutes to hours for an encrypted guest. So it is measured \
      first, the plan is shown, and nothing is moved before it is accepted. Interrupting it (SIGINT, SIGTERM) \
      cancels it as long as the guest was not given up here; the guest then runs on.
      """)

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guest's name.")
  var guest: String

  @Option(
    name: .customLong("to"),
    help: ArgumentHelp("The other host, by the name in its certificate.", valueName: "host[:port]"))
  var host: RemoteHost

  @Flag(help: "Show the plan and move nothing.")
  var plan = false

  @OptionGroup var options: MigrationOptions

  func validate() throws {
    if plan && options.yes {
      throw ValidationError("--plan moves nothing, so that there is nothing to accept")
    }
  }

  func run() throws {
    try global.run("migrate", guest: guest) { () throws(CommandFailure) in
      try MigrationRun(
        MigrationRun.Order(
          guest: guest, host: host, limits: options.limits, isPlanOnly: plan, isAccepted: options.yes,
          socketPath: global.socketPath, timeoutNanoseconds: global.timeoutNanoseconds),
        printer: global.printer
      ).run()
    }
  }
}
