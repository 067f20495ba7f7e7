public import LinuxOS
import Synchronization

/// A process that this one started and that ends with it, whatever happens.
public final class TestProcess: Sendable {
  public let name: String
  /// The file with what it wrote to standard output and standard error.
  public let log: String
  private let child: ChildProcess
  private let ended = Mutex<DetachedProcess.End?>(nil)

  /// Starts a program.
  ///
  /// - Parameters:
  ///   - inherited: Borrowed numbers that become the child's 3, 4 and so on.
  ///   - output: A borrowed number for standard output; the log by default.
  public init(
    name: String, log: String, arguments: [String], environment: [String: String] = [:],
    inherited: [Int32] = [], output: Int32? = nil, user: UInt32? = nil
  ) throws {
    self.name = name
    self.log = log
    let file = try Files.open(log, .append)
    child = try ChildProcess(
      arguments: arguments, environment: environment,
      descriptors: [-1, output ?? file.number, file.number] + inherited, user: user)
  }

  deinit { kill() }

  public var pid: Int32 { child.processId }

  /// How it ended, or nil while it lives.
  public var end: DetachedProcess.End? {
    ended.withLock { ended in
      if ended == nil { ended = try? child.reap() }
      return ended
    }
  }

  public var isAlive: Bool { end == nil }

  /// Sends a signal to exactly this process; nothing if it has ended.
  public func signal(_ number: Int32) { try? child.pidfd.signal(number) }

  /// SIGKILL, and waits until it is gone.
  public func kill() {
    signal(9)
    signal(18)
    _ = Wait.holds(seconds: 10) { !isAlive }
  }

  /// SIGTERM, then SIGKILL when that is not enough.
  public func stop(seconds: Double = 10) {
    signal(15)
    if !Wait.holds(seconds: seconds, { !isAlive }) { kill() }
  }

  /// Waits for its end.
  @discardableResult
  public func waitForEnd(seconds: Double = 20) throws -> DetachedProcess.End {
    do {
      return try Wait.until("the end of \(name) (pid \(pid))", seconds: seconds) { end }
    } catch {
      throw HarnessFailure("\(error)\n\(logTail())")
    }
  }

  /// Whether the kernel says that it is stopped by a signal.
  public var isStopped: Bool {
    guard let file = try? Files.open("/proc/\(pid)/stat", .readOnly),
      let bytes = try? file.read(maximum: 512), let end = bytes.lastIndex(of: UInt8(ascii: ")")),
      end + 2 < bytes.count
    else { return false }
    return bytes[end + 2] == UInt8(ascii: "T")
  }

  /// The last lines of its log, for failures.
  public func logTail(lines: Int = 15) -> String {
    let text = (try? TextFile.read(log)) ?? ""
    let kept = text.split(separator: "\n").suffix(lines)
    return kept.map { "    \(name): \($0)" }.joined(separator: "\n")
  }
}
