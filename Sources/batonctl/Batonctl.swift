import ArgumentParser
import LinuxOS
import RegistryInterface

/// The operator's command line.
@main
struct Batonctl: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "batonctl",
    abstract: "Shows and moves the guests of this host.",
    discussion: """
      Exit statuses:
      \(CommandStatus.allCases.map { "  \($0.rawValue)  \($0.text)" }.joined(separator: "\n"))
      """,
    version: ProgramVersion.text,
    subcommands: [
      ListCommand.self, ShowCommand.self, WatchCommand.self, PreflightCommand.self, UpgradeCommand.self,
      AbortCommand.self, MigrateCommand.self, SettleCommand.self, MetricsCommand.self,
    ])

  @OptionGroup var global: GlobalOptions
}
