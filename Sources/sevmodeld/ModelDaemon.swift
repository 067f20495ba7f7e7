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
      kernel; unmodified ones do so through the preload library (with-sev-model). Guest memory stays readable \
      unless --ciphertext is given. The model is for machines without the hardware: it protects nothing.

      SIGTERM and SIGINT end it; all guests of the model end with it.

      A socket named model that a service manager passes (sd_listen_fds(3)) is used instead of --socket.
      """)

  @Option(help: "The path of the socket to listen on; needed unless one is passed.")
  var socket: String?

  @Option(
    help: ArgumentHelp(
      """
      Write what AMD's server has of a real machine into this directory: cek.cert, the chip's certificate as AMD \
      signed it, and ask_ark.cert.
      """, valueName: "directory"))
  var certificates: String?

  @OptionGroup(title: "The modelled kernel")
  var kernel: KernelOptions

  @OptionGroup(title: "The modelled machine")
  var machine: MachineOptions

  @Option(
    help: ArgumentHelp(
      "Permission bits of the socket, in octal; write permission is the right to connect.", valueName: "mode")
  )
  var socketMode: String = "600"

  func validate() throws {
    guard let mode = UInt32(socketMode, radix: 8), mode <= 0o777 else {
      throw ValidationError("--socket-mode must be an octal number up to 777")
    }
  }

  func run() throws {
    // Before anything else opens a descriptor.
    var passed = PassedDescriptors.take()
    // The model knows the tokens of all guests, as a kernel does.
    try ThisProcess.hideMemory()
    // VMMs wait for it with their guest stopped.
    SchedulingSlice.shortest.apply()
    let stop = try SignalDescriptor([TerminationSignal.terminate, TerminationSignal.interrupt])
    var host = ModelHost(configuration: modelConfiguration)
    let files = try certificates.map { try certificateFiles(of: &host, in: $0) } ?? []
    let listener = try takeSocket(&passed) { () throws(SystemError) in
      for file in files { try file.write() }
    }
    let server = try ModelServer(
      listener: listener, host: host,
      options: ModelServerOptions(
        maximumConnections: machine.maximumConnections,
        maximumDescriptors: machine.maximumVms, mindsMemoryLockLimit: !machine.noMemlock,
        pagesPerSecond: machine.pagesPerSecond))
    StandardError.print(
      "sevmodeld: ready on \(socket ?? "a socket that was passed"), kernel \(kernel.profile.rawValue), \(machine.asids) address-space "
        + "identifiers and \(machine.esAsids) for SEV-ES")
    try server.run(until: stop.descriptor)
    if let socket { try Files.remove(socket) }
  }

  private struct CertificateFile {
    let path: String
    let bytes: [UInt8]

    func write() throws(SystemError) {
      try Files.remove(path)
      try Files.open(path, .createNew).write(bytes, at: 0)
    }
  }

  /// The CEK as AMD signed it, 2084 bytes, and ASK and ARK, 1664 bytes. The model's end in its test root.
  private func certificateFiles(of host: inout ModelHost, in directory: String) throws -> [CertificateFile] {
    let made = try host.platformCertificates()
    return [
      CertificateFile(path: "\(directory)/cek.cert", bytes: made.cek),
      CertificateFile(path: "\(directory)/ask_ark.cert", bytes: made.amd),
    ]
  }

  /// The socket that was passed, or one of its own. What else was passed is closed.
  ///
  /// - Parameter prepare: What whoever can connect may rely on.
  private func takeSocket(
    _ passed: inout PassedDescriptors, prepare: () throws(SystemError) -> Void
  ) throws -> LocalListener {
    let model = passed.take(named: "model")
    for name in passed.names {
      StandardError.print("sevmodeld: the descriptor \(name) was passed, has no place here and is closed")
      _ = passed.take(named: name)
    }
    if let model {
      guard socket == nil else { throw ValidationError("a socket was passed, so --socket has no place") }
      try prepare()
      return try LocalListener.passed(model, kind: .seqpacket, name: "model")
    }
    guard let socket else { throw ValidationError("no socket was passed, so --socket is needed") }
    return try LocalListener.bind(
      path: socket, kind: .seqpacket, mode: UInt32(socketMode, radix: 8) ?? 0o600, prepare: prepare)
  }

  private var modelConfiguration: ModelConfiguration {
    ModelConfiguration(
      isEnabled: !kernel.disabled, profile: kernel.profile, asidCount: machine.asids,
      encryptedStateASIDCount: machine.esAsids, firmwareVersion: machine.firmwareApi,
      platformVersion: machine.platformApi, offersMove: kernel.noMove ? false : nil,
      localMigrationWithoutEncryptedState: kernel.withoutThirdPatch, firmwareVMSA: kernel.firmwareVmsa,
      ciphertext: machine.ciphertext, processor: machine.processor)
  }
}
