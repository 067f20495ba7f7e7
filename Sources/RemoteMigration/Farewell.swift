import LinuxOS

/// Closes a connection so that its last frames reach the peer: a socket that is closed with something unread makes
/// the network drop what is still on its way.
enum Farewell {
  /// How long the peer may take to close its end, in nanoseconds.
  private static let patience: UInt64 = 2_000_000_000

  /// Ends sending, and closes when the peer has, or soon. Returns at once: nobody waits for it with a guest that
  /// stands still.
  static func say(_ socket: consuming StreamSocket) {
    do throws(SystemError) {
      try socket.endSending()
      // The thread owns a duplicate; this one goes now.
      let rest = Rest(try socket.descriptor.duplicate())
      _ = try OSThread(name: "farewell", takesSignals: false) { rest.drain(for: patience) }
    } catch {
      // Then it is closed as it is.
    }
  }

  private final class Rest: Sendable {
    private let socket: StreamSocket
    init(_ descriptor: consuming OwnedDescriptor) { socket = StreamSocket(adopting: descriptor) }

    /// Reads what still comes, to the end of the stream.
    func drain(for nanoseconds: UInt64) {
      let deadline = MonotonicClock.now() + nanoseconds
      do throws(SystemError) {
        while true {
          let now = MonotonicClock.now()
          guard now < deadline else { return }
          if let bytes = try socket.receive() {
            if bytes.isEmpty { return }
          } else {
            _ = try Poller.waitReadable(socket.descriptor.number, timeoutNanoseconds: deadline - now)
          }
        }
      } catch {
        // The peer is gone: nothing is left to wait for.
      }
    }
  }
}
