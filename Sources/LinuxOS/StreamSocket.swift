import CLinux
import Glibc

/// One end of a local `SOCK_STREAM` connection: bytes only, never descriptors.
///
/// No call waits; use ``Poller`` to wait.
public struct StreamSocket: ~Copyable, Sendable {
  /// The socket.
  public let descriptor: OwnedDescriptor

  /// Takes ownership of a connected stream socket.
  public init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Connects to a listening socket without waiting.
  ///
  /// - Throws: `ENOENT` or `ECONNREFUSED` when nobody listens, `EACCES` without write permission, `EAGAIN`
  ///   when the listener's queue is full, `ENAMETOOLONG` for a path over 107 bytes.
  public static func connect(path: String) throws(SystemError) -> StreamSocket {
    let socket = OwnedDescriptor(
      adopting: Int32(
        try checked(.socket) { Int(clinux_local_socket(Int32(SOCK_STREAM.rawValue))) }))
    try socket.setNonblocking(true)
    let number = socket.number
    // SAFETY: the string lives for the call, which copies the path.
    _ = try checked(.connect, on: path) { unsafe Int(clinux_local_connect(number, path)) }
    return StreamSocket(adopting: socket)
  }

  /// Sends as many bytes as the socket takes at once.
  ///
  /// - Returns: How many were taken; 0 when it would have to wait.
  /// - Throws: `EPIPE` or `ECONNRESET` when the peer is gone. Never raises `SIGPIPE`.
  ///
  /// The corresponding C function is `send` with `MSG_NOSIGNAL` and `MSG_DONTWAIT`.
  public borrowing func send(_ bytes: ArraySlice<UInt8>) throws(SystemError) -> Int {
    let number = descriptor.number
    do throws(SystemError) {
      return try checked(.sendmsg) {
        // SAFETY: the pointer is used within the closure only.
        unsafe bytes.withUnsafeBytes { unsafe clinux_stream_send(number, $0.baseAddress, $0.count) }
      }
    } catch {
      if error.wouldBlock { return 0 }
      throw error
    }
  }

  /// Receives what is there, at most `maximum` bytes.
  ///
  /// - Returns: An empty array at the end of the stream, `nil` when it would have to wait.
  ///
  /// The corresponding C function is `recv` with `MSG_DONTWAIT`.
  public borrowing func receive(maximum: Int = 1 << 16) throws(SystemError) -> [UInt8]? {
    let number = descriptor.number
    var bytes = [UInt8](repeating: 0, count: maximum)
    do throws(SystemError) {
      let count = try checked(.recvmsg) {
        // SAFETY: the pointer is used within the closure only, and the kernel writes at most `count` bytes.
        unsafe bytes.withUnsafeMutableBytes {
          unsafe clinux_stream_receive(number, $0.baseAddress, $0.count)
        }
      }
      bytes.removeLast(maximum - count)
      return bytes
    } catch {
      if error.wouldBlock { return nil }
      throw error
    }
  }

  /// Tells the peer that nothing more will be sent; it may still answer.
  public borrowing func endSending() throws(SystemError) {
    let number = descriptor.number
    _ = try checked(.sendmsg) { Int(clinux_stream_end(number)) }
  }
}
