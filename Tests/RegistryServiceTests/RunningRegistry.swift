import LinuxOS
import Testing

/// A batond of a test, in a directory of its own; killed when the test forgets it.
final class RunningRegistry {
  let directory: String
  private var child: ChildProcess
  private let settings: [String]

  init(_ settings: [String] = [], environment: [String: String] = [:]) throws {
    directory = try Files.makePrivateDirectory(prefix: "/tmp/baton-registry-")
    self.settings = settings
    child = try Self.start(directory, settings, environment)
  }

  deinit {
    try? child.pidfd.signal(9)
    _ = try? waitForEnd()
    for name in [
      "handoff", "varlink", "registry.journal", "registry.journal.settling", "registry.journal.new",
      "registry.lock",
    ] {
      _ = try? Files.remove("\(directory)/\(name)")
    }
    try? Files.removeDirectory(directory)
  }

  var handoffSocket: String { "\(directory)/handoff" }
  var varlinkSocket: String { "\(directory)/varlink" }
  var journal: String { "\(directory)/registry.journal" }
  var processId: Int32 { child.processId }

  /// Whether it has ended.
  var hasEnded: Bool { child.pidfd.hasExited() }

  func signal(_ number: Int32) throws { try child.pidfd.signal(number) }

  /// Waits for the end and says how it was.
  @discardableResult
  func waitForEnd() throws -> DetachedProcess.End {
    _ = try Poller.waitReadable(child.pidfd.descriptor.number, timeoutNanoseconds: 20_000_000_000)
    return try #require(try child.reap(), "batond did not end within 20 s")
  }

  /// SIGKILL, and a new one on the same directory.
  func killAndRestart(environment: [String: String] = [:]) throws {
    try child.pidfd.signal(9)
    try waitForEnd()
    try restart(environment: environment)
  }

  func restart(environment: [String: String] = [:]) throws {
    child = try Self.start(directory, settings, environment)
  }

  /// Returns once somebody listens on a socket of the registry.
  func waitUntilItListens(_ path: String) throws {
    for _ in 0..<4_000 {
      do throws(SystemError) {
        if path == varlinkSocket {
          _ = try StreamSocket.connect(path: path)
        } else {
          _ = try SeqpacketSocket.connect(path: path)
        }
        return
      } catch {
        // Nobody listens yet.
        var nobody = [Poller.Interest(-1)]
        _ = try Poller.wait(&nobody, timeoutNanoseconds: 5_000_000)
      }
    }
    throw TestFailure("nobody listens on \(path) after 20 s")
  }

  /// Returns once the registry has settled: its journal has its name, and the next one goes on from it.
  func waitUntilSettled() throws {
    for _ in 0..<4_000 {
      if (try? Files.open(journal, .readOnly)) != nil { return }
      var nobody = [Poller.Interest(-1)]
      _ = try Poller.wait(&nobody, timeoutNanoseconds: 5_000_000)
    }
    throw TestFailure("there is no journal after 20 s")
  }

  private static func start(
    _ directory: String, _ settings: [String], _ environment: [String: String]
  ) throws -> ChildProcess {
    let own = try ThisProcess.programPath()
    let bin =
      ThisProcess.environment("BATON_BIN_DIR") ?? String(own[..<(own.lastIndex(of: "/") ?? own.endIndex)])
    return try ChildProcess(
      arguments: ["\(bin)/batond", "--runtime-directory", directory, "--settle-ms", "50"] + settings,
      environment: environment, descriptors: [-1, -1, -1])
  }
}
