import CLinux
import Glibc

/// Streams of many bytes through buffers that are kept.
extension StreamSocket {
  /// Two connected ends.
  @frozen public struct Pair: ~Copyable {
    public var first: StreamSocket
    public var second: StreamSocket
  }

  /// Makes two connected ends. The corresponding C function is `socketpair`.
  public static func pair() throws(SystemError) -> Pair {
    var numbers: [Int32] = [-1, -1]
    _ = try checked(.socketpair) {
      // SAFETY: the array has room for the two numbers that are written.
      unsafe numbers.withUnsafeMutableBufferPointer {
        unsafe Int(clinux_local_pair(Int32(SOCK_STREAM.rawValue), $0.baseAddress))
      }
    }
    let pair = Pair(
      first: StreamSocket(adopting: OwnedDescriptor(adopting: numbers[0])),
      second: StreamSocket(adopting: OwnedDescriptor(adopting: numbers[1])))
    try pair.first.descriptor.setNonblocking(true)
    try pair.second.descriptor.setNonblocking(true)
    return pair
  }

  /// Lets so many bytes wait in the kernel (`SO_SNDBUF`), as far as the system allows it; without it 208 KiB.
  public borrowing func setSendBuffer(byteCount: Int32) throws(SystemError) {
    let number = descriptor.number
    var value = byteCount
    // SAFETY: the kernel reads four bytes.
    _ = try checked(.setsockopt) {
      unsafe setsockopt(number, SOL_SOCKET, SO_SNDBUF, &value, socklen_t(MemoryLayout<Int32>.size)) < 0
        ? -Int(errno) : 0
    }
  }

  /// Receives what is there to the end of a span, as much as it has room for.
  ///
  /// - Returns: How many bytes came: 0 at the end of the stream, `nil` when it would have to wait.
  ///
  /// The corresponding C function is `recv` with `MSG_DONTWAIT`.
  public borrowing func receive(into bytes: inout OutputSpan<UInt8>) throws(SystemError) -> Int? {
    precondition(bytes.freeCapacity > 0, "nowhere to receive to")
    let number = descriptor.number
    let result = unsafe bytes.withUnsafeMutableBufferPointer { buffer, initialized -> Int in
      guard let target = buffer.baseAddress else { return 0 }
      // SAFETY: the kernel writes at most as many bytes as are free behind those that are there.
      let result = unsafe Int(
        clinux_stream_receive(number, target + initialized, buffer.count - initialized))
      initialized += max(0, result)
      return result
    }
    return try Self.outcome(result, .recvmsg)
  }

  /// Sends as many bytes as the socket takes at once.
  ///
  /// - Returns: How many were taken; 0 when it would have to wait.
  /// - Throws: `EPIPE` or `ECONNRESET` when the peer is gone. Never raises `SIGPIPE`.
  public borrowing func send(_ bytes: Span<UInt8>) throws(SystemError) -> Int {
    let number = descriptor.number
    // SAFETY: the pointer is used within the closure only.
    let result = unsafe bytes.withUnsafeBytes {
      unsafe Int(clinux_stream_send(number, $0.baseAddress, $0.count))
    }
    return try Self.outcome(result, .sendmsg) ?? 0
  }

  /// Nil for a call that would have to wait.
  private static func outcome(_ result: Int, _ call: SystemError.Call) throws(SystemError) -> Int? {
    if result >= 0 { return result }
    let error = SystemError(call, code: Int32(-result))
    // A signal that came first: the caller comes again.
    if error.wouldBlock || error.code == EINTR { return nil }
    throw error
  }
}
