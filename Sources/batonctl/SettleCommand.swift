import ArgumentParser
import RegistryInterface

struct SettleCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "settle",
    abstract: "Settle a migration whose last answer was lost, by asking the other host.",
    discussion: """
      Works on either host. The other side is asked through baton-remote, and both registries are told what came \
      out: the guest runs on the one host or on the other, never on both. Nothing is guessed: if the other side \
      cannot be asked the guest goes on waiting.

      The options --lost and --stays are your word where there is nobody to ask any more.
      """)

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guest's name.")
  var guest: String

  @Option(
    help: ArgumentHelp(
      "The other host, if it is not the one that the registry has.", valueName: "host[:port]"))
  var peer: RemoteHost?

  @Option(
    help: ArgumentHelp(
      "The socket of baton-remote. Default: $BATON_REMOTE, else /run/baton/remote.sock.", valueName: "path"))
  var remoteSocket: String?

  @Flag(help: "On the host that gave it up: nobody has the guest, so that its name is free again.")
  var lost = false

  @Flag(help: "On the host that it came to: it runs on where it was; let go of what came.")
  var stays = false

  func validate() throws {
    if lost && stays { throw ValidationError("--lost and --stays contradict each other") }
  }

  func run() throws {
    try global.run("settle", guest: guest) { () throws(CommandFailure) in
      let run = SettleRun(
        guest: guest, peer: peer, word: lost ? .lost : stays ? .stays : nil, socketPath: global.socketPath,
        sidecarPath: SidecarCall.path(remoteSocket), timeoutNanoseconds: global.timeoutNanoseconds)
      let (settlement, result) = try run.run()
      let printer = global.printer
      if printer.json {
        printer.write(
          json: SettledLine(
            guest: guest, migration: settlement.migration.id, role: settlement.migration.role,
            peer: settlement.peer, outcome: result.end, sentence: result.sentence))
      } else if !printer.quiet {
        printer.write([PlainText.clean("\(guest): \(result.sentence)")])
      }
      return .success
    }
  }
}

/// The line of `settle --json`.
struct SettledLine: Encodable {
  let guest: String
  let migration: String
  let role: MigrationRole
  let peer: String
  let outcome: MigrationEnd
  let sentence: String
}
