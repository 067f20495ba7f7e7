/// Bytes that wait for the socket.
struct OutputQueue: Sendable {
  private var buffer: [UInt8] = []
  private var start = 0

  var count: Int { buffer.count - start }
  var bytes: ArraySlice<UInt8> { buffer[start...] }

  /// Adds one message and its `NUL`.
  mutating func append(message parts: [UInt8]...) {
    if start > 0 && start >= buffer.count / 2 {
      buffer.removeFirst(start)
      start = 0
    }
    for part in parts { buffer.append(contentsOf: part) }
    buffer.append(0)
  }

  /// Forgets bytes that were written.
  mutating func drop(_ count: Int) {
    precondition(count >= 0 && count <= self.count, "more bytes were sent than queued")
    start += count
    if start == buffer.count {
      buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 16)
      start = 0
    }
  }
}
