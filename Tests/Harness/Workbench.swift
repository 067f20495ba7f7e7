import FoundationEssentials
import LinuxOS
public import RegistryInterface
import Synchronization

/// A private directory with a registry, a SEV model and VMMs of its own, all of which end with it.
public final class Workbench: Sendable {
  public let directory: String
  private struct Processes {
    var all: [TestProcess] = []
    var registry: TestProcess?
    var model: TestProcess?
    var count = 0
  }
  private let processes = Mutex(Processes())

  /// Makes the directory; nothing runs yet.
  public init() throws {
    let parent = ThisProcess.environment("TMPDIR") ?? "/tmp"
    directory = try Files.makePrivateDirectory(prefix: "\(parent)/baton-")
  }

  deinit { close() }

  /// Runs something with a workbench, and leaves nothing behind however it ends.
  public static func use<Result>(_ body: (Workbench) throws -> Result) throws -> Result {
    let bench = try Workbench()
    defer { bench.close() }
    do {
      return try body(bench)
    } catch {
      throw HarnessFailure("\(error)\n\(bench.logTails())")
    }
  }

  /// Ends every process and removes the directory.
  public func close() {
    let all = processes.withLock { processes in
      let all = processes.all
      processes = Processes()
      return all
    }
    for process in all.reversed() { process.kill() }
    killDetached()
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// Ends VMMs that a program of this workbench started: those in its event files that still run.
  private func killDetached() {
    for path in detachedLogs.withLock({ $0 }) {
      guard let events = try? EventFile(path: path).all() else { continue }
      for pid in Set(events.map(\.pid)) {
        // The number may mean another process by now, so look at what it is while it is held.
        guard let pidfd = try? Pidfd(pid: pid),
          let line = try? Files.open("/proc/\(pid)/cmdline", .readOnly).read(maximum: 65_536),
          String(decoding: line, as: UTF8.self).contains(directory)
        else { continue }
        try? pidfd.signal(9)
      }
    }
  }

  private let detachedLogs = Mutex<[String]>([])

  /// An event file for VMMs that somebody else starts; they are ended with the workbench.
  public func detachedEvents(_ name: String) throws -> EventFile {
    let path = "\(directory)/\(name)"
    detachedLogs.withLock { $0.append(path) }
    return try EventFile(path: path)
  }

  // MARK: Paths

  public var runtime: String { "\(directory)/run" }
  public var handoffSocket: String { "\(runtime)/handoff" }
  public var varlinkSocket: String { "\(runtime)/varlink" }
  public var modelSocket: String { "\(directory)/sevmodeld" }
  public var journal: String { "\(runtime)/registry.journal" }

  // MARK: Programs

  /// Starts a program whose log is in the directory.
  public func start(
    _ program: Programs, _ arguments: [String], name: String? = nil, environment: [String: String] = [:],
    inherited: [Int32] = [], output: Int32? = nil, user: UInt32? = nil, under: [String] = []
  ) throws -> TestProcess {
    let number = processes.withLock { processes in
      processes.count += 1
      return processes.count
    }
    let name = name ?? "\(program.rawValue)-\(number)"
    let process = try TestProcess(
      name: name, log: "\(directory)/\(name).log", arguments: under + [try program.path()] + arguments,
      environment: ["BATON_CRASH_AT": "", "BATON_STOP_AT": ""].merging(environment) { $1 },
      inherited: inherited, output: output, user: user)
    processes.withLock { $0.all.append(process) }
    return process
  }

  /// Starts the registry (again) and waits until both sockets answer.
  @discardableResult
  public func startRegistry(
    _ options: [String] = [], crashAt: String? = nil, under: [String] = []
  ) throws -> TestProcess {
    let process = try start(
      .batond, ["--runtime-directory", runtime, "--settle-ms", "300"] + mayUpgrade + options,
      environment: crashAt.map { ["BATON_CRASH_AT": $0] } ?? [:], under: under)
    processes.withLock { $0.registry = process }
    try Wait.until("the registry's sockets", seconds: 20) {
      if let end = process.end { throw HarnessFailure("batond ended: \(end)\n\(process.logTail())") }
      return (try? client()) == nil ? nil : ()
    }
    return process
  }

  /// Whoever is not root needs the admin group to upgrade; the registry gets this process's own.
  private var mayUpgrade: [String] {
    ThisProcess.effectiveUser == 0 ? [] : ["--admin-group", "\(ThisProcess.effectiveGroup)"]
  }

  /// The registry's process.
  public var registry: TestProcess? { processes.withLock { $0.registry } }

  @discardableResult
  public func startModel(_ options: [String] = [], under: [String] = []) throws -> TestProcess {
    let process = try start(.sevmodeld, ["--socket", modelSocket] + mayPin + options, under: under)
    processes.withLock { $0.model = process }
    try Wait.until("the SEV model", seconds: 20) {
      if let end = process.end { throw HarnessFailure("sevmodeld ended: \(end)\n\(process.logTail())") }
      return (try? SeqpacketSocket.connect(path: modelSocket)) == nil ? nil : ()
    }
    return process
  }

  /// The usual memlock limit of whoever is not root is smaller than any guest.
  private var mayPin: [String] { ThisProcess.lockableByteCount == .max ? [] : ["--no-memlock"] }

  /// The model's process.
  public var model: TestProcess? { processes.withLock { $0.model } }

  /// A new connection of an operator.
  public func client() throws -> RegistryClient { try RegistryClient(path: varlinkSocket) }

  /// Runs batonctl to its end.
  ///
  /// - Returns: Its exit status and what it wrote to standard output.
  public func batonctl(
    _ arguments: [String], seconds: Double = 60
  ) throws -> (status: Int32, output: String) {
    let path = "\(directory)/batonctl-\(MonotonicClock.now()).out"
    let file = try Files.open(path, .createReadWrite)
    var words = arguments
    words.insert(contentsOf: ["--socket", varlinkSocket], at: min(1, words.count))
    let process = try start(.batonctl, words, output: file.number)
    switch try process.waitForEnd(seconds: seconds) {
    case .exited(let status): return (status, try TextFile.read(path))
    case .signalled(let signal): throw HarnessFailure("batonctl was ended by signal \(signal)")
    }
  }

  // MARK: VMMs

  /// The command line of a VMM, without the program.
  public func vmmArguments(_ plan: GuestPlan, events: String, extra: [String] = []) -> [String] {
    var arguments = [
      "--vm", plan.name, "--memory", plan.memory, "--vcpus", "\(plan.vcpus)", "--vcpu", plan.vcpu,
      "--sev", plan.protection.rawValue, "--model-socket", modelSocket, "--registry", handoffSocket,
      "--duty", "\(plan.duty)", "--patience", "\(plan.patienceMilliseconds)", "--events", events,
    ]
    if plan.protection == .model { arguments += ["--handoff", plan.handoff] }
    if plan.encryptsState { arguments.append("--sev-es") }
    if !plan.hasCustody { arguments.append("--no-custody") }
    if let disk = plan.disk { arguments += ["--disk", disk] }
    if let build = plan.build { arguments += ["--build", build] }
    return arguments + extra
  }

  /// Starts a VMM: the first owner, or a successor.
  ///
  /// - Parameter console: The reader that the first owner writes to.
  public func startVMM(
    _ plan: GuestPlan, console: ConsoleReader? = nil, extra: [String] = [], crashAt: String? = nil,
    stopAt: String? = nil, user: UInt32? = nil, under: [String] = []
  ) throws -> VMM {
    let number = processes.withLock { processes in
      processes.count += 1
      return processes.count
    }
    let name = "\(plan.name)-\(number)"
    let events = try EventFile(path: "\(directory)/\(name).events")
    if user != nil { try Files.changeMode(of: events.path, to: 0o666) }
    var arguments = vmmArguments(plan, events: events.path, extra: extra)
    if console != nil { arguments += ["--console", "fd:3"] }
    var environment: [String: String] = [:]
    if let crashAt { environment["BATON_CRASH_AT"] = crashAt }
    if let stopAt { environment["BATON_STOP_AT"] = stopAt }
    let process = try start(
      .vmm, arguments, name: name, environment: environment,
      inherited: console.map { [$0.number] } ?? [], user: user, under: under)
    return VMM(process: process, events: events)
  }

  /// Starts the first owner and waits until the guest runs.
  public func startGuest(
    _ plan: GuestPlan, console: ConsoleReader? = nil, extra: [String] = [], crashAt: String? = nil,
    stopAt: String? = nil
  ) throws -> VMM {
    let vmm = try startVMM(plan, console: console, extra: extra, crashAt: crashAt, stopAt: stopAt)
    try vmm.wait(for: "running")
    return vmm
  }

  /// One handoff as an operator does it.
  ///
  /// - Returns: The successor, and the handoff with its timeline.
  public func handOver(_ plan: GuestPlan, extra: [String] = []) throws -> (VMM, RegistryInterface.Handoff) {
    let client = try client()
    try client.beginUpgrade(plan.name)
    let successor = try startVMM(plan, extra: extra)
    return (successor, try client.finishUpgrade().handoff)
  }

  /// What the registry says of a guest now.
  public func guest(_ name: String) throws -> Guest { try client().describe(name).guest }

  /// Waits until the registry says that a guest stands so.
  @discardableResult
  public func waitForGuest(
    _ name: String, _ what: String, seconds: Double = 30, _ holds: (Guest) -> Bool
  ) throws -> Guest {
    var last: Guest?
    do {
      return try Wait.until("guest \(name) \(what)", seconds: seconds) {
        // The registry may be away for a moment.
        guard let guest = try? guest(name) else { return nil }
        last = guest
        return holds(guest) ? guest : nil
      }
    } catch {
      let state = last.map { "\($0.state), epoch \($0.epoch), owner \($0.owner?.processId ?? 0)" }
      throw HarnessFailure("\(error); the registry last said: \(state ?? "nothing")")
    }
  }

  /// The ends of all logs, for a failure.
  public func logTails() -> String {
    processes.withLock { $0.all }.map { $0.logTail() }.filter { !$0.isEmpty }.joined(separator: "\n")
  }
}
