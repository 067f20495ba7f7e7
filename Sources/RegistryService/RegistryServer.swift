public import BatonCore
import BatonWire
public import LinuxOS
import MigrationCore
public import Systemd

/// The registry as a service: journal, sockets, and the loop that everything lives on.
public actor RegistryServer {
  private let configuration: RegistryConfiguration
  private let loop: EventLoop
  private let log: ServiceLog
  private var driver: RegistryDriver?
  private var handoffs: ConnectionListener?
  private var operators: OperatorServer?
  private var operatorListener: ConnectionListener?
  private var settling: LoopTimer?
  private var lock: OwnedDescriptor?
  private var passed: PassedDescriptors
  /// Paths of the sockets that this registry made itself, and removes when it stops.
  private var ownSockets: [String] = []

  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

  /// - Parameter passed: Sockets named `handoff` (sequential packets) and `varlink` (stream) are listened on
  ///   instead of paths; the rest is what the descriptor store had kept.
  public init(
    configuration: RegistryConfiguration, loop: EventLoop,
    passed: consuming PassedDescriptors = PassedDescriptors()
  ) {
    self.configuration = configuration
    self.loop = loop
    self.passed = passed
    log = ServiceLog(program: "batond", threshold: configuration.logLevel)
  }

  /// Why the registry cannot start.
  public enum StartFailure: Error, CustomStringConvertible {
    /// The journal says something that cannot be believed.
    case journalDamaged(path: String, JournalError)
    /// Another registry has this runtime directory.
    case anotherRegistry(String)
    case system(SystemError)

    public var description: String {
      switch self {
      case .journalDamaged(let path, let error):
        "the journal \(path) is damaged \(error); batond does not start on it, because it could give a guest to two "
          + "owners. Guests go on running where they are. Move the file away (mv \(path) \(path).damaged) and start "
          + "batond again: the VMMs present themselves again"
      case .anotherRegistry(let directory):
        "another batond runs on \(directory); there is one registry for each host, end that one first"
      case .system(let error): "batond cannot start: \(error). Guests go on running where they are"
      }
    }

    /// What the journal calls it.
    public var messageID: RegistryMessageID {
      switch self {
      case .journalDamaged: .journalDamaged
      case .anotherRegistry, .system: .cannotStart
      }
    }

    /// 3 for a damaged journal, 1 otherwise.
    public var exitCode: Int32 {
      switch self {
      case .journalDamaged: 3
      case .anotherRegistry, .system: 1
      }
    }
  }

  /// Reads the journal, takes up what it says, and listens.
  ///
  /// Call it on the loop's thread, before the loop runs.
  public nonisolated func start() throws(StartFailure) {
    let result: Result<Void, StartFailure> = assumeIsolated { server in
      do throws(StartFailure) { return .success(try server.startListening()) } catch {
        return .failure(error)
      }
    }
    try result.get()
  }

  private func startListening() throws(StartFailure) {
    do throws(SystemError) {
      try Files.makeDirectory(configuration.runtimeDirectory, mode: 0o711)
      _ = try ThisProcess.raiseDescriptorLimit()
      lock = try takeLock()
    } catch { throw .system(error) }
    if lock == nil { throw .anotherRegistry(configuration.runtimeDirectory) }
    let sockets: Sockets
    do throws(SystemError) { sockets = try takeSockets() } catch { throw .system(error) }
    let driver = try openRegistry()
    self.driver = driver
    do throws(SystemError) { try listen(sockets, driver) } catch { throw .system(error) }
    DepartureLock.rehearse()
    announce(driver)
  }

  /// Held as long as this process lives: two registries on one journal would be two arbiters.
  ///
  /// - Returns: Nil when another registry has it.
  private func takeLock() throws(SystemError) -> OwnedDescriptor? {
    let file = try Files.open("\(configuration.runtimeDirectory)/registry.lock", .createReadWrite)
    do throws(SystemError) { try file.lockExclusively() } catch {
      if error.wouldBlock { return nil }
      throw error
    }
    return file
  }

  private struct Sockets: ~Copyable {
    let handoff: LocalListener?
    let varlink: LocalListener?
  }

  /// Sockets that were passed.
  private func takeSockets() throws(SystemError) -> Sockets {
    var handoff: LocalListener?
    if let socket = passed.take(named: "handoff") {
      handoff = try LocalListener.passed(socket, kind: .seqpacket, name: "handoff")
    }
    var varlink: LocalListener?
    if let socket = passed.take(named: "varlink") {
      varlink = try LocalListener.passed(socket, kind: .stream, name: "varlink")
    }
    return Sockets(handoff: handoff, varlink: varlink)
  }

  /// Listens on what was passed, and on sockets of its own for what was not.
  private func listen(_ sockets: consuming Sockets, _ driver: RegistryDriver) throws(SystemError) {
    let mode: UInt32 = configuration.group == nil ? 0o600 : 0o660
    let operators = OperatorServer(driver: driver)
    self.operators = operators
    handoffs = try ConnectionListener(
      bind(configuration.handoffSocket, .seqpacket, mode, unless: sockets.handoff), loop: loop,
      priority: .connections
    ) { [unowned driver] in driver.accepted($0) }
    operatorListener = try ConnectionListener(
      bind(configuration.varlinkSocket, .stream, 0o660, unless: sockets.varlink), loop: loop,
      priority: .operators
    ) { [unowned operators] in operators.accepted($0) }
  }

  private func bind(
    _ path: String, _ kind: LocalListener.Kind, _ mode: UInt32, unless passed: consuming LocalListener?
  ) throws(SystemError) -> LocalListener {
    if let passed { return passed }
    let listener = try ConnectionListener.bind(path: path, kind: kind, mode: mode, group: configuration.group)
    ownSockets.append(path)
    return listener
  }

  private func openRegistry() throws(StartFailure) -> RegistryDriver {
    let path = configuration.journalPath
    let environment = ThisProcess.environment("BATON_CRASH_AT")
    if CrashSchedule.isMisspelled(environment) {
      log.write(
        .warning, "BATON_CRASH_AT names no crash point and is ignored",
        messageID: RegistryMessageID.settingIgnored.rawValue)
    }
    let crash = CrashSchedule(environment)
    let found: (JournalFile, Journal.Contents)?
    do throws(JournalFile.Failure) { found = try JournalFile.open(path) } catch {
      switch error {
      case .damaged(let path, let damage): throw .journalDamaged(path: path, damage)
      case .system(let failure): throw .system(failure)
      }
    }
    do throws(SystemError) { return try makeDriver(found, crash) } catch { throw .system(error) }
  }

  private func makeDriver(
    _ found: (JournalFile, Journal.Contents)?, _ crash: CrashSchedule
  ) throws(SystemError) -> RegistryDriver {
    let loop = loop
    guard let (journal, contents) = found else {
      // Under another name until it is settled: a registry that ends before that has to settle again.
      let driver = try RegistryDriver(
        configuration: configuration, loop: loop, log: log,
        registry: Registry(
          isSettling: true, numbersFrom: MonotonicClock.now() / 1_000_000),
        journal: try JournalFile.create("\(configuration.journalPath).settling", []), crash: crash)
      driver.onFailure = { _ in loop.exit(4) }
      // Without the journal nobody knows what became of the handoffs that it belonged to.
      driver.custodyStore = openStore(restoreCustody([]))
      settling = loop.schedule(after: UInt64(configuration.settleMilliseconds) * 1_000_000) {
        [unowned driver] in driver.settle()
      }
      return driver
    }
    let restored = restoreCustody(contents.records)
    let (registry, effects) = Registry.restored(
      contents.records, forgotten: contents.forgotten, held: restored.mapValues(\.held))
    let driver = try RegistryDriver(
      configuration: configuration, loop: loop, log: log, registry: registry, journal: journal, crash: crash)
    driver.onFailure = { _ in loop.exit(4) }
    driver.custodyStore = openStore(restored)
    driver.resume(effects, restored)
    return driver
  }

  // MARK: Descriptor store

  /// Sorts out what the service manager had kept, and has it forget what is of no use.
  private func restoreCustody(_ records: [GuestRecord]) -> [GuestName: RestoredCustody] {
    let found = RestoredCustody.collect(&passed, records)
    for name in Set(found.leftovers + found.strays) { DescriptorStore.remove(name: name) }
    for name in found.strays {
      log.write(
        .warning, "the descriptor \(name) was passed, has no place here and is closed",
        messageID: RegistryMessageID.strayDescriptor.rawValue)
    }
    let over = Set(found.leftovers.compactMap { StoredName($0)?.guest })
    if records.isEmpty, !over.isEmpty {
      log.write(
        .warning,
        "what was in custody is closed, because the journal is gone: \(over.sorted().map(\.text).joined(separator: ", "))",
        messageID: RegistryMessageID.custodyDropped.rawValue)
    }
    for (guest, reason) in found.useless {
      log.write(
        .warning, "what was in custody of guest \(guest) is of no use and is closed: \(reason)",
        messageID: RegistryMessageID.custodyDropped.rawValue, fields: [("BATON_VM", guest.text)])
    }
    return found.guests
  }

  private func openStore(_ restored: [GuestName: RestoredCustody]) -> CustodyStore? {
    guard ServiceManager.isListening else { return nil }
    let held = restored.mapValues(\.names)
    let names = held.values.reduce(into: Set<String>()) { $0.formUnion($1) }
    do throws(DescriptorStore.Unavailable) {
      return CustodyStore(store: try DescriptorStore(loop: loop, holding: names), loop: loop, held: held)
    } catch {
      // What nobody looks after would stay there for as long as the service runs.
      for name in names { DescriptorStore.remove(name: name) }
      log.write(
        .warning, "custody does not outlive batond itself: \(error)",
        messageID: RegistryMessageID.storeUnavailable.rawValue)
      return nil
    }
  }

  private func announce(_ driver: RegistryDriver) {
    let guests = driver.registry.guests.count
    let how =
      driver.registry.isSettling
      ? "no journal found, settling for \(configuration.settleMilliseconds) ms"
      : "\(guests) guests in the journal"
    log.write(
      .notice,
      "ready: VMMs on \(place(configuration.handoffSocket)), operators on \(place(configuration.varlinkSocket)), \(how)",
      messageID: RegistryMessageID.ready.rawValue)
    ServiceManager.ready(status: how)
    driver.scheduleStatus()
  }

  private func place(_ path: String) -> String {
    ownSockets.contains(path) ? path : "a socket that was passed"
  }

  /// Ends the service; the journal stays as it is, so that the next one goes on from it.
  ///
  /// Call it on the loop's thread.
  public nonisolated func stop() { assumeIsolated { $0.stopListening() } }

  private func stopListening() {
    ServiceManager.stopping()
    operators?.stop()
    handoffs = nil
    operatorListener = nil
    for socket in ownSockets { _ = try? Files.remove(socket) }
    log.write(
      .notice, "stopping; guests go on running, the journal stays in \(configuration.runtimeDirectory)",
      messageID: RegistryMessageID.stopping.rawValue)
    loop.exit(0)
  }
}
