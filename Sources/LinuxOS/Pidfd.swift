import CLinux
import Glibc

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

/// Who is on the other end of a local socket.
public struct PeerIdentity: Hashable, Sendable {
  public let pid: Int32
  public let uid: UInt32
  public let gid: UInt32

  /// Credentials fixed when the peer connected (`SO_PEERCRED`, unix(7)).
  public init(of socket: borrowing OwnedDescriptor) throws(SystemError) {
    let number = socket.number
    var raw = clinux_peer()
    _ = try checked(.getsockopt) { unsafe Int(clinux_peer_credentials(number, &raw)) }
    pid = raw.pid
    uid = raw.uid
    gid = raw.gid
  }

  public init(pid: Int32, uid: UInt32, gid: UInt32) {
    self.pid = pid
    self.uid = uid
    self.gid = gid
  }

  /// Supplementary groups of the peer (`SO_PEERGROUPS`), its main group not always among them.
  public static func groups(of socket: borrowing OwnedDescriptor) throws(SystemError) -> [UInt32] {
    let number = socket.number
    var groups = [UInt32](repeating: 0, count: 256)
    let count = try checked(.getsockopt) {
      unsafe groups.withUnsafeMutableBufferPointer {
        unsafe Int(clinux_peer_groups(number, $0.baseAddress, Int32($0.count)))
      }
    }
    return Array(groups.prefix(count))
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

/// When a process started, in clock ticks since boot: with its number, its identity.
public enum ProcessStartTime {
  /// Field 22 of /proc/PID/stat (proc(5)), or nil when there is no such process.
  public static func of(pid: Int32) -> UInt64? {
    let path = "/proc/\(pid)/stat"
    let number = unsafe clinux_open(path, O_RDONLY, 0)
    guard number >= 0 else { return nil }
    let file = OwnedDescriptor(adopting: number)
    guard let bytes = try? file.read(maximum: 4096) else { return nil }
    // The command name is in parentheses and may contain anything, so count from the last one.
    guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
    guard fields.count > 19 else { return nil }
    return UInt64(String(decoding: fields[19], as: UTF8.self))
  }
}
