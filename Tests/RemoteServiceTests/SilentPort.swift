import NIOCore
import NIOPosix

/// A TCP port that accepts one connection and says nothing.
final class SilentPort {
  let port: UInt16
  private let listener: any Channel
  private let accepted: EventLoopFuture<Void>
  private let ended: EventLoopFuture<Void>

  init() throws {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let accepted = loop.makePromise(of: Void.self)
    let ended = loop.makePromise(of: Void.self)
    listener = try ServerBootstrap(group: loop)
      .childChannelInitializer { channel in
        accepted.succeed(())
        channel.closeFuture.cascade(to: ended)
        return channel.eventLoop.makeSucceededVoidFuture()
      }
      .bind(host: "127.0.0.1", port: 0).wait()
    port = UInt16(listener.localAddress?.port ?? 0)
    self.accepted = accepted.futureResult
    self.ended = ended.futureResult
  }

  deinit { listener.close(promise: nil) }

  func waitForConnection() { try? accepted.wait() }

  func waitForEnd() { try? ended.wait() }
}
