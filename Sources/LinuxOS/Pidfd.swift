import CLinux

/// A process, held so that its number cannot come to mean another one. See pidfd_open(2).
public struct Pidfd: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  /// Takes ownership of a pidfd.
  public init(adopting descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }

  /// Opens a pidfd; `ESRCH` when there is no such process.
  public init(pid: Int32) throws(SystemError) {
    descriptor = OwnedDescriptor(
      adopting: Int32(
        try checked(.pidfdOpen, on: "process \(pid)") { Int(clinux_pidfd_open(pid)) }))
  }

  /// Whether the process has ended (a zombie has). One poll without waiting.
  public borrowing func hasExited() -> Bool {
    var entry = clinux_poll_entry(fd: descriptor.number, events: Int16(CLINUX_POLL_IN), revents: 0)
    return unsafe clinux_poll(&entry, 1, 0) > 0
  }

  /// Sends a signal to exactly this process.
  ///
  /// - Throws: `ESRCH` when it is gone, `EPERM` without the right to.
  ///
  /// The corresponding C function is `pidfd_send_signal`.
  public borrowing func signal(_ signal: Int32) throws(SystemError) {
    let number = descriptor.number
    _ = try checked(.pidfdSendSignal) { Int(clinux_pidfd_signal(number, signal)) }
  }
}

extension Pidfd {
  /// The process on the other end of a local socket.
  ///
  /// `SO_PEERPIDFD` (Linux 6.5) where there is one; else `pidfd_open` of the peer's number, which
  /// is safe only while the connection proves that the peer lived when it connected: the caller
  /// compares ``ProcessStartTime`` before and after.
  public static func peer(of socket: borrowing OwnedDescriptor) throws(SystemError) -> Pidfd {
    let number = socket.number
    let pidfd = clinux_peer_pidfd(number)
    if pidfd >= 0 { return Pidfd(adopting: OwnedDescriptor(adopting: pidfd)) }
    let peer = try PeerIdentity(of: socket)
    return try Pidfd(pid: peer.pid)
  }
}
