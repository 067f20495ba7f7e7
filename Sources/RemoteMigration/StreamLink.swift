import BatonWire
import LinuxOS
import MigrationCore

/// The socket to the peer, by way of the sidecar: what waits to be written, and when the peer was heard last.
struct StreamLink: ~Copyable {
  let socket: StreamSocket
  /// Frames in their order; the first one may be written in part.
  private var waiting: [[UInt8]] = []
  private var written = 0
  /// Bytes of frames that wait, with what was written of the first one.
  private(set) var waitingByteCount = 0
  /// When bytes of the peer came last, and when the last own frame was made (`CLOCK_MONOTONIC`, nanoseconds).
  private(set) var heard: UInt64
  private(set) var spoke: UInt64
  /// Everything that was written.
  private(set) var byteCount: UInt64 = 0
  /// From the first silence on.
  private var heartbeat: Heartbeat?

  init(_ socket: consuming StreamSocket, now: UInt64) {
    self.socket = socket
    heard = now
    spoke = now
  }

  var number: Int32 { socket.descriptor.number }
  var hasOutput: Bool { !waiting.isEmpty }
  /// Where in all that is written the next frame begins.
  var nextOffset: UInt64 { byteCount - UInt64(written) + UInt64(waitingByteCount) }

  mutating func queue(_ frame: [UInt8], now: UInt64) {
    waiting.append(frame)
    waitingByteCount += frame.count
    spoke = now
  }

  /// Lets the peer hear `frame` once a second from a thread of its own, until ``endSilence()``. Nothing may wait to be
  /// written.
  mutating func beginSilence(saying frame: [UInt8]) {
    precondition(waiting.isEmpty, "two would write at once")
    // Without a thread it is silent.
    if heartbeat == nil { heartbeat = try? Heartbeat(on: socket) }
    heartbeat?.begin(saying: frame)
  }

  /// Takes up what was written meanwhile.
  mutating func endSilence() {
    guard let (count, rest) = heartbeat?.end() else { return }
    byteCount += count
    guard !rest.isEmpty else { return }
    precondition(waiting.isEmpty, "two would write at once")
    waiting.append(rest)
    waitingByteCount += rest.count
  }

  mutating func noteHeard(_ now: UInt64) { heard = now }

  /// Writes what waits, as far as the socket takes it.
  ///
  /// - Returns: Whether anything was written.
  mutating func flush() throws(MigrationFailure) -> Bool {
    var wrote = false
    while let frame = waiting.first {
      let count = try write(frame, from: written)
      guard count > 0 else { return wrote }
      wrote = true
      written += count
      if written == frame.count {
        waiting.removeFirst()
        waitingByteCount -= frame.count
        written = 0
      }
    }
    return wrote
  }

  /// Writes a part of a buffer that stays the caller's; 0 when the socket is full.
  mutating func write(_ bytes: [UInt8], from offset: Int) throws(MigrationFailure) -> Int {
    do throws(SystemError) {
      let count = try socket.send(bytes.span.extracting(offset...))
      byteCount += UInt64(count)
      return count
    } catch {
      throw Self.lost(error)
    }
  }

  /// Gives the socket up.
  consuming func takeSocket() -> StreamSocket { socket }

  /// The connection broke.
  static func lost(_ error: SystemError) -> MigrationFailure {
    MigrationFailure(.linkLost, "the link to the other host broke: \(error)")
  }
}
