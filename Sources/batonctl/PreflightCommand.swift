import ArgumentParser
import RegistryInterface

struct PreflightCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "preflight", abstract: "Check whether a handoff would go through; changes nothing.")

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guest's name.")
  var guest: String

  func run() throws {
    try global.run("preflight", guest: guest) { () throws(CommandFailure) in
      let reply: PreflightReply = try global.ask(.preflight, PreflightRequest(guest: guest))
      let printer = global.printer
      if printer.json {
        printer.write(json: reply)
      } else {
        printer.write(lines(reply, printer))
      }
      return reply.verdict == .fail ? .preflightFailed : .success
    }
  }

  private func lines(_ reply: PreflightReply, _ printer: Printer) -> [String] {
    var table = TextTable([.init("CHECK"), .init("VERDICT"), .init("DETAIL")])
    for check in reply.checks {
      table.append([
        .init(check.name), .init(check.verdict.rawValue, color(check.verdict)), .init(check.detail),
      ])
      if let remedy = check.remedy {
        table.append(["", "", .init((printer.style.unicode ? "→ " : "-> ") + remedy, .notable)])
      }
    }
    let verdict = printer.style.paint(reply.verdict.rawValue, color(reply.verdict))
    return table.lines(width: printer.tableWidth, style: printer.style)
      + ["", "\(PlainText.clean(reply.guest)): \(verdict)"]
  }

  private func color(_ verdict: CheckVerdict) -> PictureStyle.Color {
    switch verdict {
    case .pass: .good
    case .warn, .unknown: .notable
    case .fail: .bad
    }
  }
}
