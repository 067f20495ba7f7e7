import LinuxOS
import Synchronization

/// Lets a peer hear once a second that this end lives, while the thread that has the connection is busy.
///
/// Made on a connection on which nothing waits to be written, and ended before anything else is written on it.
final class Heartbeat: Sendable {
  private struct Written {
    /// Bytes that went out.
    var count: UInt64 = 0
    /// What is still to go of the frame that went out in part.
    var rest: ArraySlice<UInt8> = []
  }

  private let socket: StreamSocket
  private let frame: [UInt8]
  private let end: EventDescriptor
  private let written = Mutex(Written())

  private static let interval: UInt64 = 1_000_000_000

  private init(_ socket: consuming OwnedDescriptor, _ frame: [UInt8]) throws(SystemError) {
    self.socket = StreamSocket(adopting: socket)
    self.frame = frame
    end = try EventDescriptor()
  }

  /// A heartbeat that goes on in a thread of its own.
  struct Running: ~Copyable {
    fileprivate let beat: Heartbeat
    fileprivate let thread: OSThread

    /// Ends it.
    ///
    /// - Returns: How many bytes it wrote, and what has to be written before anything else.
    consuming func stop() -> (count: UInt64, rest: [UInt8]) {
      beat.end.signal()
      thread.join()
      return beat.written.withLock { ($0.count, Array($0.rest)) }
    }
  }

  /// Begins; the first frame goes out after a second.
  ///
  /// - Parameters:
  ///   - frame: What is written, whole.
  static func start(
    on socket: borrowing StreamSocket, saying frame: [UInt8]
  ) throws(SystemError) -> Running {
    let beat = try Heartbeat(try socket.descriptor.duplicate(), frame)
    return Running(beat: beat, thread: try OSThread(name: "heartbeat") { beat.run() })
  }

  private func run() {
    while let isOver = try? Poller.waitReadable(
      end.descriptor.number, timeoutNanoseconds: Self.interval), !isOver
    {
      let isGone = written.withLock { written in
        if written.rest.isEmpty { written.rest = frame[...] }
        // What goes wrong shows when the connection is used again.
        guard let count = try? socket.send(written.rest) else { return true }
        written.count += UInt64(count)
        written.rest = written.rest.dropFirst(count)
        // A frame of which nothing went is no debt.
        if written.rest.count == frame.count { written.rest = [] }
        return false
      }
      if isGone { return }
    }
  }
}
