import NIOCore
import NIOPosix
import NIOSSL

@testable import RemoteService

/// Somebody whom a sidecar connects to, and who answers in a way of its own: `south.test`, `localhost` by its
/// certificate.
final class RawTarget {
  /// What is done once the first line is there.
  enum Conduct {
    /// Sends this in one go and ends the connection.
    case sending([UInt8], properly: Bool)
    /// Sends this a byte at a time, one in so many milliseconds.
    case dripping([UInt8], milliseconds: Int64)
  }

  private let listener: any Channel

  private final class Answerer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let conduct: Conduct
    private var hasAnswered = false

    init(_ conduct: Conduct) { self.conduct = conduct }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      guard !hasAnswered else { return }
      hasAnswered = true
      switch conduct {
      case .sending(let bytes, let properly):
        let sent = context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)))
        sent.assumeIsolated().whenComplete { _ in
          if properly {
            context.close(promise: nil)
          } else {
            // Below TLS: no close_notify.
            try? context.pipeline.syncOperations.handler(type: TransportHandler.self).abort()
          }
        }
      case .dripping(let bytes, let milliseconds): drip(context, bytes[...], milliseconds)
      }
    }

    private func drip(_ context: ChannelHandlerContext, _ bytes: ArraySlice<UInt8>, _ milliseconds: Int64) {
      guard let byte = bytes.first, context.channel.isActive else { return }
      context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: [byte])), promise: nil)
      context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(milliseconds)) { [self] in
        drip(context, bytes.dropFirst(), milliseconds)
      }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }

  init(_ conduct: Conduct) throws {
    var settings = TLSConfiguration.makeServerConfiguration(
      certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.south.utf8))
        .map { .certificate($0) },
      privateKey: .privateKey(
        try NIOSSLPrivateKey(bytes: Array(TestCertificates.southKey.utf8), format: .pem)))
    settings.applicationProtocols = [TLSContexts.protocolName]
    let context = try NIOSSLContext(configuration: settings)
    listener = try ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandlers([
            TransportHandler(), NIOSSLServerHandler(context: context), Answerer(conduct),
          ])
        }
      }
      .bind(host: "127.0.0.1", port: 0).wait()
  }

  var port: Int { listener.localAddress?.port ?? 0 }

  deinit { listener.close(promise: nil) }
}
