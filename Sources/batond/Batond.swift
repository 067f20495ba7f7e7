import ArgumentParser
import BatonWire
import LinuxOS
import RegistryService
import Systemd

/// The registry: one arbiter of guests and batons on a host.
@main
struct Batond: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "batond",
    abstract: "Decides which process may run which guest, and hands guests from one VMM to the next.",
    discussion: """
      batond never starts a VMM. VMMs connect to its handoff socket, operators (batonctl) to its Varlink socket. \
      It may be killed and started again at any moment: guests go on running, and it goes on from its journal.

      Exit status: 0 after SIGTERM or SIGINT, 1 when it cannot start, 3 when its journal is damaged, 4 when the \
      journal cannot be written any more, 64 for wrong arguments.
      """,
    version: ProgramVersion.text)

  @Option(help: "Where the journal is kept.")
  var runtimeDirectory = "/run/baton"
  @Option(help: "Socket for VMMs; RUNTIME-DIRECTORY/handoff if not given.")
  var handoffSocket: String?
  @Option(help: "Socket for operators; RUNTIME-DIRECTORY/varlink if not given.")
  var varlinkSocket: String?
  @Option(help: "Group that may connect to both sockets.")
  var group: String?
  @Option(help: "Group that may upgrade and abort; otherwise only uid 0 may.")
  var adminGroup: String?
  @Option(help: "User id that may be a successor for any guest; may be given several times.")
  var allowUid: [UInt32] = []
  @Option(
    help:
      "User, by name or number, as which baton-remote runs: it may fetch and show the receipts of migrations."
  )
  var remoteUser: [String] = []
  @Option(help: "Time for VMMs to come back when there is no journal.")
  var settleMs: UInt32 = 1_000
  @Option(help: "Time in which a new connection has to say hello.")
  var helloMs: UInt32 = 2_000
  @Option(help: "Time from attach to ready.")
  var prepareMs: UInt32 = 30_000
  @Option(
    name: .customLong("prepare-per-16-gib-ms"),
    help: "Further time from attach to ready for each 16 GiB of guest RAM.")
  var preparePer16GibMs: UInt32 = 10_000
  @Option(help: "Time from freeze to stage.")
  var freezeMs: UInt32 = 500
  @Option(help: "Time from claim to received.")
  var claimMs: UInt32 = 1_000
  @Option(help: "Time from release to the process's end, then it is killed.")
  var releaseMs: UInt32 = 5_000
  @Option(help: "Time for which a VMM that has staged waits for a registry that is gone.")
  var registryMs: UInt32 = 30_000
  @Option(help: "Connections of VMMs for each user.")
  var maximumConnections = 4_096
  @Option(help: "Guests for each user.")
  var maximumGuests = 2_048
  @Option(help: "Descriptors in custody for each user.")
  var maximumDescriptors = 65_536
  @Option(help: "How many guests that are lost or ended are remembered.")
  var rememberGuests = 1_024
  @Option(help: "For how long guests that are lost or ended are remembered.")
  var rememberSeconds: UInt64 = 86_400
  @Flag(help: "Log warnings and errors only.")
  var quiet = false

  func validate() throws {
    guard [maximumConnections, maximumGuests, maximumDescriptors].allSatisfy({ $0 > 0 }) else {
      throw ValidationError("a maximum is at least 1")
    }
    guard rememberGuests >= 0, rememberSeconds <= 1_000_000_000 else {
      throw ValidationError("--remember-guests is at least 0, --remember-seconds at most 1000000000")
    }
  }

  func run() throws {
    var settings = RegistryConfiguration()
    settings.runtimeDirectory = runtimeDirectory
    settings.handoffSocket = handoffSocket ?? "\(runtimeDirectory)/handoff"
    settings.varlinkSocket = varlinkSocket ?? "\(runtimeDirectory)/varlink"
    settings.group = try group.map { try number(ofGroup: $0) }
    settings.adminGroup = try adminGroup.map { try number(ofGroup: $0) }
    settings.allowedUsers = Set(allowUid)
    settings.remoteUsers = try remoteUsers()
    settings.settleMilliseconds = settleMs
    settings.helloMilliseconds = helloMs
    settings.deadlines.prepare = prepareMs
    settings.deadlines.preparePer16GiB = preparePer16GibMs
    settings.deadlines.freeze = freezeMs
    settings.deadlines.claim = claimMs
    settings.deadlines.release = releaseMs
    settings.deadlines.registry = registryMs
    settings.quotas.connections = maximumConnections
    settings.quotas.guests = maximumGuests
    settings.quotas.descriptors = maximumDescriptors
    settings.remembering.guests = rememberGuests
    settings.remembering.seconds = rememberSeconds
    settings.logLevel = quiet ? .warning : .info
    let code = try serve(settings)
    if code != 0 { throw ExitCode(code) }
  }

  private func serve(_ settings: RegistryConfiguration) throws -> Int32 {
    // Before anything else opens a descriptor.
    let passed = PassedDescriptors.take()
    // SIGPIPE only says that nobody reads standard error any more.
    let signals = try SignalDescriptor([2, 13, 15])
    // State memfds in custody hold batons.
    try ThisProcess.hideMemory()
    SchedulingSlice.shortest.apply()
    let loop = try EventLoop()
    try loop.feedWatchdog()
    let server = RegistryServer(configuration: settings, loop: loop, passed: passed)
    do throws(RegistryServer.StartFailure) {
      try server.start()
    } catch {
      ServiceLog(program: "batond").write(
        .error, error.description, messageID: error.messageID.rawValue)
      return error.exitCode
    }
    let stop = try loop.watch(signals.descriptor.number, priority: .records) { _ in
      while let signal = signals.next() { if signal != 13 { server.stop() } }
    }
    return try withExtendedLifetime(stop) { try loop.run() }
  }

  /// Those that are named, or the user `baton-remote` if there is one.
  private func remoteUsers() throws -> Set<UInt32> {
    guard !remoteUser.isEmpty else {
      return Set([ThisProcess.user(named: "baton-remote")].compactMap(\.self))
    }
    return Set(
      try remoteUser.map { name in
        if let number = UInt32(name) ?? ThisProcess.user(named: name) { return number }
        throw ValidationError("there is no user \(name)")
      })
  }

  private func number(ofGroup name: String) throws -> UInt32 {
    if let number = UInt32(name) ?? ThisProcess.group(named: name) { return number }
    throw ValidationError("there is no group \(name)")
  }
}
