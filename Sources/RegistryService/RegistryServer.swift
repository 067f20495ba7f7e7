public import BatonCore
import BatonWire
public import LinuxOS
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

  public nonisolated var unownedExecutor: UnownedSerialExecutor { loop.executor }

  public init(configuration: RegistryConfiguration, loop: EventLoop) {
    self.configuration = configuration
    self.loop = loop
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
    let driver = try openRegistry()
    self.driver = driver
    do throws(SystemError) { try listen(driver) } catch { throw .system(error) }
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

  private func listen(_ driver: RegistryDriver) throws(SystemError) {
    let mode: UInt32 = configuration.group == nil ? 0o600 : 0o660
    let operators = OperatorServer(driver: driver)
    self.operators = operators
    handoffs = try ConnectionListener(
      path: configuration.handoffSocket, kind: .seqpacket, mode: mode, group: configuration.group, loop: loop,
      priority: .connections
    ) { [unowned driver] in driver.accepted($0) }
    operatorListener = try ConnectionListener(
      path: configuration.varlinkSocket, kind: .stream, mode: 0o660, group: configuration.group, loop: loop,
      priority: .operators
    ) { [unowned operators] in operators.accepted($0) }
  }

  private func openRegistry() throws(StartFailure) -> RegistryDriver {
    let path = configuration.journalPath
    let environment = ThisProcess.environment("BATON_CRASH_AT")
    if CrashSchedule.isMisspelled(environment) {
      log.write(.warning, "BATON_CRASH_AT names no crash point and is ignored")
    }
    let crash = CrashSchedule(environment)
    let found: (JournalFile, [GuestRecord])?
    do throws(JournalFile.Failure) { found = try JournalFile.open(path) } catch {
      switch error {
      case .damaged(let path, let damage): throw .journalDamaged(path: path, damage)
      case .system(let failure): throw .system(failure)
      }
    }
    do throws(SystemError) { return try makeDriver(found, crash) } catch { throw .system(error) }
  }

  private func makeDriver(
    _ found: (JournalFile, [GuestRecord])?, _ crash: CrashSchedule
  ) throws(SystemError) -> RegistryDriver {
    let loop = loop
    guard let (journal, records) = found else {
      // Under another name until it is settled: a registry that ends before that has to settle again.
      let driver = try RegistryDriver(
        configuration: configuration, loop: loop, log: log,
        registry: Registry(
          isSettling: true, numbersFrom: MonotonicClock.now() / 1_000_000),
        journal: try JournalFile.create("\(configuration.journalPath).settling", []), crash: crash)
      driver.onFailure = { _ in loop.exit(4) }
      settling = loop.schedule(after: UInt64(configuration.settleMilliseconds) * 1_000_000) {
        [unowned driver] in driver.settle()
      }
      return driver
    }
    let (registry, effects) = Registry.restored(records)
    let driver = try RegistryDriver(
      configuration: configuration, loop: loop, log: log, registry: registry, journal: journal, crash: crash)
    driver.onFailure = { _ in loop.exit(4) }
    driver.resume(effects)
    return driver
  }

  private func announce(_ driver: RegistryDriver) {
    let guests = driver.registry.guests.count
    let how =
      driver.registry.isSettling
      ? "no journal found, settling for \(configuration.settleMilliseconds) ms"
      : "\(guests) guests in the journal"
    log.write(
      .notice,
      "ready: VMMs on \(configuration.handoffSocket), operators on \(configuration.varlinkSocket), \(how)")
    ServiceManager.ready(status: "\(guests) guests, \(how)")
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
    for socket in [configuration.handoffSocket, configuration.varlinkSocket] { _ = try? Files.remove(socket) }
    log.write(
      .notice, "stopping; guests go on running, the journal stays in \(configuration.runtimeDirectory)")
    loop.exit(0)
  }
}
