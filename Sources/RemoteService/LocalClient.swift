import LinuxOS

/// A program on this host that has the local socket open: a VMM, or an operator's.
final class LocalClient: Sendable {
  let socket: StreamSocket
  let uid: UInt32
  /// Its place among the connections; nil when it gets none.
  let seat: LocalSeats.Seat?

  init(_ descriptor: consuming OwnedDescriptor, uid: UInt32, seat: LocalSeats.Seat? = nil) {
    socket = StreamSocket(adopting: descriptor)
    self.uid = uid
    self.seat = seat
  }

  /// Sends one line; it fits into the socket, which is empty. A client that is gone gets none.
  func send(_ line: [UInt8]) {
    // Who does not read its answer is gone, and is noticed as that.
    _ = try? socket.send(line[...])
  }
}
