import LinuxOS
import NIOCore
import NIOPosix
import NIOSSL

/// A greeted TLS connection.
struct PeerLink: Sendable {
  let channel: any Channel
  let greeting: Greeting

  /// Writes one line and closes.
  func answer(_ line: [UInt8]) {
    channel.eventLoop.execute { [channel] in
      channel.writeAndFlush(channel.allocator.buffer(bytes: line), promise: nil)
      Transport.close(channel)
    }
  }

  /// Ends the connection.
  func close() {
    channel.eventLoop.execute { [channel] in Transport.close(channel) }
  }

  /// Makes the connection and a local VMM's socket the two ends of a pipe. On the connection's event loop.
  ///
  /// - Parameters:
  ///   - remainder: What the VMM sent already.
  ///   - ended: Called once, on the event loop.
  func join(
    _ client: LocalClient, remainder: [UInt8], idleMilliseconds: UInt32,
    ended: @escaping (RemoteFault?, _ sent: UInt64, _ received: UInt64) -> Void
  ) {
    let loop = channel.eventLoop
    loop.preconditionInEventLoop()
    let pipe = Pipe(peer: greeting.peer, ended: ended)
    let ends = pipe.makeEnds(idleMilliseconds: idleMilliseconds)
    do {
      let operations = channel.pipeline.syncOperations
      let greeter = try operations.handler(type: GreetingHandler.self)
      try operations.addHandler(ends.peer, position: .after(greeter))
      let local = NIOLoopBound(ends.local, eventLoop: loop)
      let descriptor = try client.socket.descriptor.duplicate()
      ClientBootstrap(group: loop)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try Transport.apply(toLocal: channel)
            try channel.pipeline.syncOperations.addHandler(local.value)
          }
        }
        .withConnectedSocket(descriptor.release()).assumeIsolated().whenComplete { result in
          switch result {
          case .success:
            let fromPeer = greeter.remainder
            let hasEnded = greeter.hasEnded
            operations.removeHandler(greeter, promise: nil)
            pipe.begin(fromLocal: remainder, fromPeer: fromPeer, peerEnded: hasEnded)
          case .failure: pipe.fail(.local, .lost("its socket cannot be watched"))
          }
        }
    } catch {
      pipe.fail(.local, .lost(TLSFailure.reason(of: error)))
    }
  }
}
