import LinuxOS
import Synchronization

/// Somebody with an open file of their own who tries to take a disk's write lock the whole time.
public final class LockBystander: Sendable {
  private struct State {
    var attempts: UInt64 = 0
    var successes: UInt64 = 0
    var isOver = false
  }

  private let state = Mutex(State())
  private let thread: Mutex<OSThread?>

  /// Starts trying. The image must be there.
  public init(path: String) throws {
    thread = Mutex(nil)
    let file = try Files.open(path, .readWrite)
    let running = try OSThread(name: "bystander") { [weak self] in
      while let self, !self.state.withLock({ $0.isOver }) {
        let got: Bool
        do {
          try file.lockExclusively()
          got = true
        } catch {
          got = false
        }
        self.state.withLock {
          $0.attempts += 1
          if got { $0.successes += 1 }
        }
        Wait.pause(milliseconds: 1)
      }
    }
    thread.withLock { $0 = running }
  }

  deinit { end() }

  /// How often it tried.
  public var attempts: UInt64 { state.withLock { $0.attempts } }
  /// How often it got the lock.
  public var successes: UInt64 { state.withLock { $0.successes } }

  /// Stops trying.
  public func end() { state.withLock { $0.isOver = true } }
}
