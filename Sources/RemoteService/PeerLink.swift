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
    channel.eventLoop.execute { [channel, greeting] in
      greeting.handler.value.discard()
      channel.writeAndFlush(channel.allocator.buffer(bytes: line), promise: nil)
      Transport.close(channel)
    }
  }

  /// Ends the connection.
  func close() {
    channel.eventLoop.execute { [channel, greeting] in
      greeting.handler.value.discard()
      Transport.close(channel)
    }
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
    let operations = channel.pipeline.syncOperations
    let greeter = greeting.handler.value
    // A connection that is gone takes no handler. What came before is delivered all the same.
    try? operations.addHandler(ends.peer, position: .after(greeter))
    // Before the local socket is read.
    ends.local.pass(on: remainder)
    let local = NIOLoopBound(ends.local, eventLoop: loop)
    let descriptor: OwnedDescriptor
    do throws(SystemError) {
      descriptor = try client.socket.descriptor.duplicate()
    } catch {
      pipe.fail(.local, .lost("\(error)"))
      return
    }
    ClientBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try Transport.apply(toLocal: channel)
          try channel.pipeline.syncOperations.addHandler(local.value)
        }
      }
      .withConnectedSocket(descriptor.release()).assumeIsolated().whenComplete { result in
        let (bytes, ending) = greeter.handOver()
        operations.removeHandler(greeter, promise: nil)
        switch result {
        case .success: pipe.begin(fromPeer: bytes, ending)
        case .failure: pipe.fail(.local, .lost("its socket cannot be watched"))
        }
      }
  }
}
