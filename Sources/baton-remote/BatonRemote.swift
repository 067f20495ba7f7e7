import ArgumentParser
import LinuxOS
import RemoteService
import Systemd

/// The end of the way to other hosts.
@main
struct BatonRemote: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "baton-remote",
    abstract: "Carries migrating guests between hosts, inside TLS 1.3 with certificates on both sides.",
    discussion: """
      VMMs and batonctl connect to the local socket, the sidecars of other hosts to the TCP port. SIGHUP reads the \
      certificates again for new connections; those that are open go on.

      Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot start, 64 for wrong arguments.
      """,
    version: ProgramVersion.text)

  @Option(help: ArgumentHelp("Where peers connect, unless a socket was passed.", valueName: "address:port"))
  var listen: [String] = ["[::]:4646"]
  @Option(help: "Socket for VMMs and operators, unless one was passed.")
  var socket = "/run/baton/remote.sock"
  @Option(help: "The registry's socket for operators.")
  var varlink = "/run/baton/varlink"
  @Option(help: "This host's certificate and those up to its CA, PEM. Default: the credential 'cert'.")
  var cert: String?
  @Option(help: "Its private key, PEM. Default: the credential 'key'.")
  var key: String?
  @Option(help: "The CAs that peers' certificates come from, PEM. Default: the credential 'ca'.")
  var ca: String?
  @Option(help: ArgumentHelp("A host that may connect, as its certificate names it.", valueName: "name"))
  var allow: [String] = []
  @Option(help: ArgumentHelp("A user who may use the socket, beside root and this one.", valueName: "user"))
  var user: [String] = []
  @Option(help: "Group that the socket is given to.")
  var group: String?
  @Option(help: "Group whose members may ask and settle, beside root.")
  var adminGroup: String?
  @Option(help: "Time to connect to a peer.")
  var connectMs: UInt32 = 10_000
  @Option(help: "Time for the TLS handshake.")
  var handshakeMs: UInt32 = 5_000
  @Option(help: "Time for the first line.")
  var lineMs: UInt32 = 5_000
  @Option(help: "Time for which a peer may be silent.")
  var idleMs: UInt32 = 10_000
  @Option(help: "Time for an answer of the registry.")
  var registryMs: UInt32 = 10_000
  @Option(help: "Connections of each kind at one time.")
  var maximumConnections = 256
  @Option(help: "Connections of one user to the socket at one time.")
  var maximumPerUser = 192
  @Option(help: "Threads that carry guests; each migration lives on one.")
  var threads = 2
  @Flag(help: "Log warnings and errors only.")
  var quiet = false

  func validate() throws {
    guard (1...64).contains(threads) else { throw ValidationError("--threads is from 1 to 64") }
    guard maximumConnections > 0 else { throw ValidationError("--maximum-connections is at least 1") }
    guard maximumPerUser > 0 else { throw ValidationError("--maximum-per-user is at least 1") }
    guard [connectMs, handshakeMs, lineMs, idleMs, registryMs].allSatisfy({ (1...3_600_000).contains($0) })
    else { throw ValidationError("a time is from 1 ms to an hour") }
  }

  func run() throws {
    let settings = try settings()
    // Before anything else opens a descriptor or starts a thread.
    var passed = PassedDescriptors.take()
    let signals = try SignalDescriptor([1, 2, 13, 15])
    // It holds a private key.
    try ThisProcess.hideMemory()
    ThisProcess.ignoreBrokenPipes()
    // For the threads that are started below: a guest stands still for the last bytes of its way.
    SchedulingSlice.shortest.apply()
    let log = RemoteLog(quiet: quiet)
    let server: RemoteServer
    do {
      server = try RemoteServer(configuration: settings, passed: &passed) { log.write($0) }
      try server.start()
    } catch {
      log.failed("\(error)")
      throw ExitCode.failure
    }
    log.ready(server.status)
    ServiceManager.ready(status: server.status)
    if !ServiceManager.isListening { Self.sayReady() }
    try serve(server, signals)
    log.stopping()
    // What is open ends with the process: to the peers the link is lost, which is the truth.
    ServiceManager.stopping()
  }

  /// Until a signal ends it.
  private func serve(_ server: RemoteServer, _ signals: borrowing SignalDescriptor) throws {
    while true {
      if try Poller.waitReadable(signals.descriptor.number, timeoutNanoseconds: Self.statusPeriod) {
        switch signals.next() {
        case 1:
          ServiceManager.reloading()
          server.reload()
          ServiceManager.ready(status: server.status)
        case 2, 15: return
        case _: continue
        }
      } else if ServiceManager.isListening {
        ServiceManager.say(status: server.status)
      }
    }
  }

  /// For whoever started it without a service manager.
  private static func sayReady() {
    let output = OwnedDescriptor(adopting: 1)
    // Nobody has to read it.
    _ = try? output.write(Array("ready\n".utf8))
    _ = output.release()
  }

  /// How often the status is told, in nanoseconds.
  private static let statusPeriod: UInt64 = 5_000_000_000
}
