import LinuxOS
import Systemd
import Varlink

/// One Varlink connection: bytes in, calls out, bytes out.
final class OperatorConnection {
  let peer: PeerIdentity
  /// Supplementary groups, for the admin group.
  let groups: [UInt32]
  var varlink: ServerConnection
  var source: EventSource?
  private(set) var isClosed = false
  /// There are too many: its first call is answered with that, and then it is closed.
  let isTooMany: Bool
  /// Closed when what was answered has left.
  var isEnding = false
  private let socket: StreamSocket

  init(socket: consuming StreamSocket, service: Service, isTooMany: Bool) throws(SystemError) {
    peer = try PeerIdentity(of: socket.descriptor)
    groups = (try? PeerIdentity.groups(of: socket.descriptor)) ?? []
    self.socket = socket
    self.isTooMany = isTooMany
    varlink = ServerConnection(service: service, limits: ConnectionLimits(messageBytes: 1 << 20))
  }

  var descriptor: Int32 { socket.descriptor.number }

  /// Reads what is there.
  ///
  /// - Returns: False when the connection is broken.
  func read() -> Bool {
    guard varlink.wantsInput else { return true }
    do throws(SystemError) {
      guard let bytes = try socket.receive() else { return true }
      if bytes.isEmpty { varlink.receiveEnd() } else { varlink.receive(bytes) }
      return true
    } catch { return false }
  }

  /// Writes what the peer takes.
  ///
  /// - Returns: False when the connection is broken.
  func write() -> Bool {
    while varlink.wantsOutput {
      do throws(SystemError) {
        let count = try socket.send(varlink.output)
        if count == 0 { return true }
        varlink.didSend(count)
      } catch { return false }
    }
    return true
  }

  /// Watches for what is wanted next.
  func updateInterest() {
    switch (varlink.wantsInput, varlink.wantsOutput) {
    case (true, true): source?.setInterest(.readableOrWritable)
    case (true, false): source?.setInterest(.readable)
    case (false, true): source?.setInterest(.writable)
    case (false, false): source?.setInterest(.hangUp)
    }
  }

  func close() {
    isClosed = true
    source = nil
  }
}
