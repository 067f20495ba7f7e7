import Harness
import LinuxOS

/// A program of the project that this process started; it is killed when this process ends.
final class RunningProgram {
  let name: String
  private let child: ChildProcess
  private var end: DetachedProcess.End?
  private let log: String

  /// Starts a program.
  ///
  /// - Parameters:
  ///   - path: The program.
  ///   - output: A file for standard output; nil puts it into the log.
  ///   - log: The file that standard error is appended to.
  init(_ path: String, _ arguments: [String], output: String? = nil, log: String) throws {
    name = String(path[(path.lastIndex(of: "/").map(path.index(after:)) ?? path.startIndex)...])
    self.log = log
    let errors = try Files.open(log, .append)
    let standard = try Files.open(output ?? log, .append)
    child = try ChildProcess(
      arguments: [path] + arguments, descriptors: [-1, standard.number, errors.number])
  }

  deinit { kill() }

  var pid: Int32 { child.processId }

  /// Whether it still runs.
  var isRunning: Bool {
    if end == nil { end = try? child.reap() }
    return end == nil
  }

  /// Waits for its end without polling, so that waiting disturbs no measurement.
  ///
  /// - Returns: Its exit status, or 128 and the number of the signal that ended it.
  @discardableResult
  func wait(seconds: UInt64) throws -> Int32 {
    if end == nil {
      guard
        try Poller.waitReadable(child.pidfd.descriptor.number, timeoutNanoseconds: seconds * 1_000_000_000)
      else { throw BenchError("\(name) (process \(pid)) did not end within \(seconds) s; \(Self.tail(log))") }
      end = try child.reap()
    }
    switch end {
    case .exited(let status): return status
    case .signalled(let signal): return 128 + signal
    case nil: throw BenchError("\(name) (process \(pid)) cannot be waited for")
    }
  }

  /// Waits for its good end, and gives up when another program ends first.
  func wait(orEndOf other: RunningProgram, seconds: UInt64) throws {
    var interests = [
      Poller.Interest(child.pidfd.descriptor.number), Poller.Interest(other.child.pidfd.descriptor.number),
    ]
    _ = try Poller.wait(&interests, timeoutNanoseconds: seconds * 1_000_000_000)
    if !interests[0].isReady, interests[1].isReady {
      throw BenchError("\(other.name) (process \(other.pid)) ended too early; \(Self.tail(log))")
    }
    try waitForSuccess(seconds: 0)
  }

  /// Waits for its end, which must be a good one.
  func waitForSuccess(seconds: UInt64) throws {
    let status = try wait(seconds: seconds)
    guard status == 0 else { throw BenchError("\(name) ended with status \(status); \(Self.tail(log))") }
  }

  /// Asks it to end properly (SIGTERM).
  func terminate() throws { try child.pidfd.signal(15) }

  func kill() {
    guard isRunning else { return }
    try? child.pidfd.signal(9)
    _ = try? wait(seconds: 30)
  }

  /// Resident memory in bytes (`VmRSS` in /proc/PID/status, proc(5)).
  func residentByteCount() throws -> UInt64 {
    for line in try TextFile.lines(ofProcess: pid, "status") where line.hasPrefix("VmRSS:") {
      let fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      if fields.count > 1, let kibibytes = UInt64(fields[1]) { return kibibytes * 1024 }
    }
    throw BenchError("/proc/\(pid)/status says nothing of VmRSS")
  }

  /// The last lines of a log, for an error's text.
  static func tail(_ path: String) -> String {
    guard let text = try? TextFile.read(path), !text.isEmpty else { return "it said nothing" }
    return "it said: \(text.suffix(600))"
  }
}
