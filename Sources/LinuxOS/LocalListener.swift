import CLinux
import Glibc

/// A listening local socket, bound to a path.
public struct LocalListener: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  /// Takes ownership of a socket that listens already (socket activation).
  public init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// What travels on the accepted connections.
  public enum Kind: Sendable { case seqpacket, stream }

  /// Binds and listens. A socket file that nobody listens on any more is replaced.
  ///
  /// - Parameters:
  ///   - mode: Permission bits of the socket file; write permission is the right to connect.
  ///   - prepare: Called once the path is this process's own, and before anybody can connect.
  /// - Throws: `EADDRINUSE` when somebody listens there; what `prepare` throws.
  public static func bind(
    path: String, kind: Kind, mode: UInt32 = 0o600, prepare: () throws(SystemError) -> Void = {}
  ) throws(SystemError) -> LocalListener {
    let type = Int32(kind == .seqpacket ? SOCK_SEQPACKET.rawValue : SOCK_STREAM.rawValue)
    let socket = OwnedDescriptor(
      adopting: Int32(try checked(.socket) { Int(clinux_local_socket(type)) }))
    let number = socket.number
    do {
      _ = try checked(.bind, on: path) { unsafe Int(clinux_local_bind(number, path)) }
    } catch {
      guard error.code == EADDRINUSE else { throw error }
      let probe = OwnedDescriptor(
        adopting: Int32(try checked(.socket) { Int(clinux_local_socket(type)) }))
      guard unsafe clinux_local_connect(probe.number, path) == -ECONNREFUSED else { throw error }
      _ = unsafe clinux_unlink(path)
      _ = try checked(.bind, on: path) { unsafe Int(clinux_local_bind(number, path)) }
    }
    _ = try checked(.chmod, on: path) { unsafe Int(clinux_chmod(path, mode)) }
    try prepare()
    _ = try checked(.listen, on: path) { Int(clinux_listen(number, 512)) }
    return LocalListener(adopting: socket)
  }

  /// Accepts one connection; `EAGAIN` is thrown when none waits on a non-blocking listener.
  public borrowing func accept() throws(SystemError) -> OwnedDescriptor {
    let number = descriptor.number
    return OwnedDescriptor(adopting: Int32(try checked(.accept) { Int(clinux_accept(number)) }))
  }
}

extension LocalListener {
  /// Takes over a socket that was passed to this process.
  ///
  /// - Parameter name: What it was called, for the error.
  /// - Throws: `EINVAL` when it is no local socket of this kind that listens.
  public static func passed(
    _ descriptor: consuming OwnedDescriptor, kind: Kind, name: String
  ) throws(SystemError) -> LocalListener {
    let type = Int32(kind == .seqpacket ? SOCK_SEQPACKET.rawValue : SOCK_STREAM.rawValue)
    let word = kind == .seqpacket ? "sequential-packet" : "stream"
    let number = descriptor.number
    guard option(SO_DOMAIN, of: number) == AF_UNIX, option(SO_TYPE, of: number) == type,
      option(SO_ACCEPTCONN, of: number) == 1
    else {
      throw SystemError(
        .getsockopt, code: EINVAL,
        subject: "the passed descriptor \(name), which has to be a listening local \(word) socket")
    }
    return LocalListener(adopting: descriptor)
  }

  private static func option(_ option: Int32, of number: Int32) -> Int32? {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    // SAFETY: both pointers are to locals that live for the call, and the size is the value's.
    return unsafe getsockopt(number, SOL_SOCKET, option, &value, &size) == 0 ? value : nil
  }
}
