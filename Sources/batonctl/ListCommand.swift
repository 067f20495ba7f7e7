import ArgumentParser
import RegistryInterface

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List all guests, and what waits for a person.",
    discussion: """
      A guest is marked outdated when the program that its owner's unit would start now has another build id than \
      the one that its owner runs. Without a system bus, and for owners outside of units, that is not known.
      """)

  @OptionGroup var global: GlobalOptions

  @Flag(help: "Only guests whose owner runs another program than its unit would start now.")
  var outdated = false

  func run() throws {
    try global.run("list") { () throws(CommandFailure) in
      let reply: ListReply = try global.ask(.list, NoParameters())
      let printer = global.printer
      let survey = ProgramSurvey()
      let programs = Dictionary(reply.guests.map { ($0.name, survey.program(of: $0)) }) { first, _ in first }
      let guests = reply.guests.filter { !outdated || programs[$0.name]?.isOutdated == true }
      if printer.json {
        for guest in guests {
          printer.write(json: ListedGuest(guest: guest, program: programs[guest.name] ?? OwnerProgram()))
        }
      } else if outdated && guests.isEmpty {
        printer.write(["no guest is known to run an outdated program"])
      } else {
        printer.write(GuestTable(guests: guests, printer: printer, programs: programs).lines)
      }
      return .success
    }
  }
}

/// A line of `list --json`: the fields of the guest, and `program`.
struct ListedGuest: Encodable {
  let guest: Guest
  let program: OwnerProgram

  private enum CodingKeys: CodingKey { case program }

  func encode(to encoder: any Encoder) throws {
    try guest.encode(to: encoder)
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(program, forKey: .program)
  }
}
