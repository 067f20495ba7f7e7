import LinuxOS
import SEVModel

/// The request connection of one thread of a caller, and the request that is under way on it.
final class PeerConnection {
  /// Names the connection in the event queue.
  let key: UInt64
  let socket: SeqpacketSocket
  var state = State.idle
  /// How to take back the request that was finished last.
  var undo: Undo?

  enum State {
    /// Waits for a request.
    case idle
    /// The request waits until others on its VMs are finished.
    case waiting(PendingRequest, Turn)
    /// The request waits for the caller's answer to a question.
    case asking(PendingRequest, Step)
  }

  /// What a request does when its VMs are its own.
  enum Turn {
    case begin
    /// It began already, as a move does, which takes the VMs late.
    case goOn(Step)
  }

  init(key: UInt64, socket: consuming SeqpacketSocket) {
    self.key = key
    self.socket = socket
  }
}
