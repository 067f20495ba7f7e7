import LinuxOS
import Synchronization

/// Lets a peer hear once a second that this end lives, while the thread that has the connection is busy.
///
/// Its own thread stands ready between two silences: beginning and ending one is a lock that nobody else holds. A guest
/// may stand still meanwhile.
final class Heartbeat {
  private let line: Line

  /// - Throws: When there is no thread or descriptor to be had.
  init(on socket: borrowing StreamSocket) throws(SystemError) {
    let line = try Line(try socket.descriptor.duplicate())
    self.line = line
    _ = try OSThread(name: "heartbeat", takesSignals: false) { line.run() }
  }

  deinit { line.close() }

  /// Begins; the first frame goes out after half a second to one and a half.
  ///
  /// - Parameter frame: What is written, whole. Nothing else is written before ``end()``.
  func begin(saying frame: [UInt8]) { line.begin(frame, MonotonicClock.now()) }

  /// Ends it.
  ///
  /// - Returns: How many bytes it wrote, and what has to be written before anything else; nil when none had begun.
  func end() -> (count: UInt64, rest: [UInt8])? { line.end() }

  /// What the two threads share.
  private final class Line: Sendable {
    private struct Silence {
      let frame: [UInt8]
      let since: UInt64
      /// Bytes that went out.
      var count: UInt64 = 0
      /// What is still to go of the frame that went out in part.
      var rest: ArraySlice<UInt8> = []
    }

    private let socket: StreamSocket
    private let isClosed: EventDescriptor
    private let silence = Mutex<Silence?>(nil)

    private static let interval: UInt64 = 1_000_000_000

    init(_ socket: consuming OwnedDescriptor) throws(SystemError) {
      self.socket = StreamSocket(adopting: socket)
      isClosed = try EventDescriptor()
    }

    func begin(_ frame: [UInt8], _ now: UInt64) {
      silence.withLock { $0 = Silence(frame: frame, since: now) }
    }

    func end() -> (count: UInt64, rest: [UInt8])? {
      silence.withLock { $0.take() }.map { ($0.count, Array($0.rest)) }
    }

    func close() { isClosed.signal() }

    func run() {
      while let isOver = try? Poller.waitReadable(
        isClosed.descriptor.number, timeoutNanoseconds: Self.interval), !isOver
      {
        beat(MonotonicClock.now())
      }
    }

    private func beat(_ now: UInt64) {
      silence.withLock { silence in
        // A short one needs no beat.
        guard var lasting = silence, now - lasting.since >= Self.interval / 2 else { return }
        if lasting.rest.isEmpty { lasting.rest = lasting.frame[...] }
        // What goes wrong shows when the connection is used again.
        guard let count = try? socket.send(lasting.rest) else { return }
        lasting.count += UInt64(count)
        lasting.rest = lasting.rest.dropFirst(count)
        // A frame of which nothing went is no debt.
        if lasting.rest.count == lasting.frame.count { lasting.rest = [] }
        silence = lasting
      }
    }
  }
}
