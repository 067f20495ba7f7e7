import ArgumentParser
import RegistryInterface

struct AbortCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "abort", abstract: "End the handoff or the migration of a guest, as far as that is safe.",
    discussion: """
      Before the guest is staged, the source simply goes on. After that the source is told to take the guest \
      back. A committed handoff cannot be ended: upgrade again to go back. A migration to another host is \
      cancelled as long as the guest was not given up here.

      A guest may have the alarm that the journal was lost, so that nobody knows whether a successor has run it. \
      There this command is your word that none has: the guest is given back to its source. If one has run it, \
      do not use it.
      """)

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guest's name.")
  var guest: String

  @Option(help: ArgumentHelp("Only if this is the handoff under way.", valueName: "number"))
  var handoff: UInt64?

  func run() throws {
    try global.run("abort", guest: guest) { () throws(CommandFailure) in
      let reply: AbortReply = try global.ask(.abort, AbortRequest(guest: guest, handoff: handoff))
      let printer = global.printer
      if printer.json {
        printer.write(json: reply)
      } else if !printer.quiet {
        let ending = reply.number == 0 ? "is being cancelled" : "is being taken back"
        let words = reply.outcome == .inProgress ? ending : reply.outcome.words
        printer.write(["\(what(reply)) \(words); \(reply.guest.state.clause)"])
      }
      switch reply.outcome {
      case .aborted, .takenBack: return .success
      case .inProgress: return .outcomeUnknown
      case .committed: return .nothingToAbort
      case .lost: return .guestLost
      case .ended: return .guestEnded
      }
    }
  }

  /// A migration has no number.
  private func what(_ reply: AbortReply) -> String {
    let name = PlainText.clean(guest)
    return reply.number == 0 ? "migration of \(name)" : "handoff \(reply.number) of \(name)"
  }
}
