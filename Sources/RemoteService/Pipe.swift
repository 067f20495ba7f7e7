import NIOCore

/// Two ends that carry bytes to each other: the local VMM's socket and the TLS connection.
///
/// A buffer is read from one end only when the other one has sent all it was given. So at most one buffer each way is
/// held here, and a reader that stops stops the writer at the other host; what the kernel's socket buffers hold keeps
/// both ends busy meanwhile. Both ends live on one event loop, and so does this value.
final class Pipe {
  /// Which end.
  enum Side {
    case local, peer
  }

  private let peer: String
  private let ended: (RemoteFault?, _ sent: UInt64, _ received: UInt64) -> Void
  private var ends: [PipeEnd] = []

  /// - Parameter ended: Called once, when both ends are closed or about to be.
  init(peer: String, ended: @escaping (RemoteFault?, _ sent: UInt64, _ received: UInt64) -> Void) {
    self.peer = peer
    self.ended = ended
  }

  /// Makes the two handlers; they are to be put last into the pipelines of their channels.
  func makeEnds(idleMilliseconds: UInt32) -> (local: PipeEnd, peer: PipeEnd) {
    let local = PipeEnd(pipe: self, side: .local, idleMilliseconds: idleMilliseconds)
    let remote = PipeEnd(pipe: self, side: .peer, idleMilliseconds: idleMilliseconds)
    local.partner = remote
    remote.partner = local
    ends = [local, remote]
    return (local, remote)
  }

  /// Begins to carry, behind what came from the peer before.
  func begin(fromPeer bytes: [UInt8], _ ending: GreetingHandler.Ending) {
    guard ends.count == 2 else { return }
    let (local, remote) = (ends[0], ends[1])
    remote.pass(on: bytes)
    local.begin()
    switch ending {
    case .open: remote.begin()
    case .ended:
      remote.begin()
      remote.endInput()
    case .lost(let reason): fail(.peer, .lost(reason))
    }
  }

  /// A direction of an end is over, properly.
  func endIsDone() {
    if ends.count == 2, ends.allSatisfy(\.isDone) { over(nil) }
  }

  /// Why an end cannot go on.
  enum Failure {
    case idle(milliseconds: UInt32)
    case lost(String)
  }

  /// An end failed, or is gone before its time.
  func fail(_ side: Side, _ failure: Failure) {
    switch failure {
    case .idle(let milliseconds): over(.idle(peer: peer, milliseconds: milliseconds))
    case .lost(let reason):
      switch side {
      case .local: over(.localClientGone)
      case .peer: over(.linkLost(peer: peer, reason: reason))
      }
    }
  }

  private func over(_ fault: RemoteFault?) {
    guard ends.count == 2 else { return }
    let list = ends
    ends = []
    ended(fault, list[0].byteCount, list[1].byteCount)
    for end in list { end.finish(isOrderly: fault == nil) }
  }
}
