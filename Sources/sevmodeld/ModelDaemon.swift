import ArgumentParser
import LinuxOS
import ModelService
import SEVModel

/// The software model of KVM-SEV and the AMD Secure Processor, for machines without the hardware.
@main
struct ModelDaemon: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sevmodeld",
    abstract: "Serve a software model of KVM-SEV and the AMD Secure Processor.",
    discussion: """
      Virtual machine monitors connect to the socket and send the same SEV commands that they would send to the \
      kernel. Guest memory stays readable. The model is for machines without the hardware: it protects nothing.

      SIGTERM and SIGINT end it; all guests of the model end with it.
      """)

  @Option(help: "The path of the socket to listen on.")
  var socket: String

  @Option(help: "How many SEV guests can have an address-space identifier at a time (1 to 65535).")
  var asids: UInt32 = 500

  @Option(help: "How many of the lowest identifiers are for SEV-ES guests; 0 turns SEV-ES off.")
  var esAsids: UInt32 = 0

  @Option(
    help: ArgumentHelp(
      "Permission bits of the socket, in octal; write permission is the right to connect.", valueName: "mode")
  )
  var socketMode: String = "600"

  func validate() throws {
    guard (1...65535).contains(asids) else { throw ValidationError("--asids must be from 1 to 65535") }
    guard esAsids <= 65535 else { throw ValidationError("--es-asids must be at most 65535") }
    guard let mode = UInt32(socketMode, radix: 8), mode <= 0o777 else {
      throw ValidationError("--socket-mode must be an octal number up to 777")
    }
  }

  func run() throws {
    // The model knows the tokens of all guests, as a kernel does.
    try ThisProcess.hideMemory()
    // VMMs wait for it with their guest stopped.
    SchedulingSlice.shortest.apply()
    let stop = try SignalDescriptor([TerminationSignal.terminate, TerminationSignal.interrupt])
    let listener = try LocalListener.bind(
      path: socket, kind: .seqpacket, mode: UInt32(socketMode, radix: 8) ?? 0o600)
    let configuration = ModelConfiguration(asidCount: asids, encryptedStateASIDCount: esAsids)
    let server = try ModelServer(
      listener: listener, options: ModelServerOptions(configuration: configuration))
    StandardError.print("sevmodeld: ready on \(socket), \(asids) address-space identifiers")
    try server.run(until: stop.descriptor)
    try Files.remove(socket)
  }
}
