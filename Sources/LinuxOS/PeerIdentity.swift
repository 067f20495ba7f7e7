import CLinux

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
