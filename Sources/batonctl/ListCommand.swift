import ArgumentParser
import RegistryInterface

struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "List all guests, and what waits for a person.")

  @OptionGroup var global: GlobalOptions

  func run() throws {
    try global.run("list") { () throws(CommandFailure) in
      let reply: ListReply = try global.ask(.list, NoParameters())
      let printer = global.printer
      if printer.json {
        for guest in reply.guests { printer.write(json: guest) }
      } else {
        printer.write(GuestTable(guests: reply.guests, printer: printer).lines)
      }
      return .success
    }
  }
}
