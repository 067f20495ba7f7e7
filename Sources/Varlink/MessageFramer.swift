/// Cuts a stream of bytes into messages, each of which a `NUL` ends.
///
/// Every byte is looked at once, however the stream is cut into pieces, and moved at most a constant
/// number of times.
public struct MessageFramer: Sendable {
  private let limit: Int
  private var buffer: [UInt8] = []
  /// First byte of the message that comes next.
  private var start = 0
  /// First byte that was not yet compared with `NUL`.
  private var scanned = 0
  /// Where the `NUL` of the next message is, once it was seen.
  private var end: Int?

  /// A framer that refuses messages of more than `messageBytes` bytes.
  public init(messageBytes: Int) {
    limit = messageBytes
  }

  /// Bytes that were appended and not yet taken.
  public var bufferedByteCount: Int { buffer.count - start }

  /// Adds what was read from the stream.
  public mutating func append(_ bytes: some Sequence<UInt8>) {
    if start > 0 && start >= buffer.count / 2 {
      buffer.removeFirst(start)
      scanned -= start
      end = end.map { $0 - start }
      start = 0
    }
    buffer.append(contentsOf: bytes)
    locateEnd()
  }

  /// Whether ``next()`` has a message or an error to give.
  public var hasMessage: Bool { end != nil || buffer.count - start > limit }

  /// The next whole message without its `NUL`, or `nil` if more bytes are needed.
  public mutating func next() throws(ProtocolViolation) -> [UInt8]? {
    guard let end else {
      if buffer.count - start > limit { throw .messageTooLong(limit: limit) }
      return nil
    }
    if end - start > limit { throw .messageTooLong(limit: limit) }
    let message = Array(buffer[start..<end])
    start = end + 1
    scanned = start
    self.end = nil
    if start == buffer.count {
      // Do not keep the room of one huge message for the rest of a connection's life.
      buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 16)
      start = 0
      scanned = 0
    }
    locateEnd()
    return message
  }

  private mutating func locateEnd() {
    guard end == nil else { return }
    let stop = Self.firstZero(in: buffer.span, from: scanned)
    if stop < buffer.count { end = stop }
    scanned = stop
  }

  /// Index of the first `NUL`, or the count.
  private static func firstZero(in bytes: Span<UInt8>, from start: Int) -> Int {
    var index = start
    while index < bytes.count, bytes[index] != 0 { index += 1 }
    return index
  }
}
