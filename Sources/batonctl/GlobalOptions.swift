import ArgumentParser
import FoundationEssentials
import LinuxOS
import RegistryInterface

/// Options of every command.
struct GlobalOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The registry's Varlink socket. Default: $BATON_VARLINK, else /run/baton/varlink.", valueName: "path"))
  var socket: String?

  @Flag(help: "Write JSON for programs: one object per line.")
  var json = false

  @Flag(help: "Write nothing but errors and what was asked for.")
  var quiet = false

  @Option(
    help: ArgumentHelp(
      "How long to wait for the registry. Default: 10 s; upgrade and watch: no limit.", valueName: "seconds"))
  var timeout: Double?

  func validate() throws {
    if let timeout, !(timeout > 0 && timeout <= 1e6) {
      throw ValidationError("--timeout is a number of seconds above 0")
    }
  }

  var socketPath: String {
    if let socket { return socket }
    let path = ProcessInfo.processInfo.environment["BATON_VARLINK"] ?? ""
    return path.isEmpty ? "/run/baton/varlink" : path
  }

  /// The limit in nanoseconds, if one was given.
  var timeoutNanoseconds: UInt64? { timeout.map { UInt64($0 * 1e9) } }

  /// Where everything is written.
  var printer: Printer { Printer(json: json, quiet: quiet) }
}
