import ArgumentParser
import RegistryInterface

struct PreflightCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preflight", abstract: "Check whether a handoff would go through; changes nothing.",
    discussion: """
      With --remote the checks are those of a migration to another host: connection, certificates, policy, the \
      three parties that have to agree, room there, and whether it would come to an end.
      """)

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guest's name.")
  var guest: String

  @Option(
    help: ArgumentHelp("Check a migration to this host instead of a handoff here.", valueName: "host[:port]"))
  var remote: RemoteHost?

  func run() throws {
    try global.run("preflight", guest: guest) { () throws(CommandFailure) in
      if let remote { return try check(remote) }
      let reply: PreflightReply = try global.ask(.preflight, PreflightRequest(guest: guest))
      let printer = global.printer
      if printer.json {
        printer.write(json: reply)
      } else {
        let table = CheckTable(
          subject: reply.guest, checks: reply.checks, verdict: reply.verdict, style: printer.style)
        printer.write(table.lines(width: printer.tableWidth))
      }
      return reply.verdict == .fail ? .preflightFailed : .success
    }
  }

  private func check(_ host: RemoteHost) throws(CommandFailure) -> CommandStatus {
    let printer = global.printer
    // Of a program's reader nothing but the result is expected.
    let follower = try MigrationFollower(
      guest: guest, host: host, socketPath: global.socketPath,
      timeoutNanoseconds: global.timeoutNanoseconds,
      printer: Printer(json: false, quiet: printer.json || printer.quiet))
    var wish = MigrationWish(host: host.description)
    wish.planOnly = true
    let (migration, after) = try follower.follow(wish)
    if migration.refusal?.name == "migrationCancelled", migration.outcome != .planned {
      throw MigrationRun.planFailure(migration, after)
    }
    let result = RemotePreflight(migration, after, limits: MigrationLimits())
    if printer.json {
      printer.write(json: result)
    } else {
      let table = CheckTable(
        subject: "\(guest) to \(host)", checks: result.checks, verdict: result.verdict, style: printer.style)
      printer.write(table.lines(width: printer.tableWidth))
    }
    return result.verdict == .fail ? .preflightFailed : .success
  }
}
