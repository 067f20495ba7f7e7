import ArgumentParser
import LinuxOS
import RegistryInterface

extension GlobalOptions {
  /// Runs the body of a command and turns its failure into an error line and an exit status.
  func run(_ verb: String, guest: String? = nil, _ body: () throws(CommandFailure) -> CommandStatus) throws {
    let status: CommandStatus
    do throws(CommandFailure) {
      status = try body()
    } catch {
      printer.report(error, verb: verb, guest: guest)
      throw ExitCode(error.status.rawValue)
    }
    if status != .success { throw ExitCode(status.rawValue) }
  }

  /// Connects to the registry.
  func connect() throws(CommandFailure) -> RegistryConnection {
    try RegistryConnection(path: socketPath, timeoutNanoseconds: timeoutNanoseconds)
  }

  /// Makes one call on a connection of its own.
  func ask<Reply: Decodable>(
    _ method: RegistryMethod, _ parameters: some Encodable
  ) throws(CommandFailure) -> Reply {
    try connect().ask(method, parameters, timeoutNanoseconds: timeoutNanoseconds)
  }
}
