import NIOCore
import NIOPosix
import NIOSSL

@testable import RemoteService

/// Somebody who connects to a sidecar's port in a way of its own.
final class RawPeer {
  private let channel: any Channel
  private let received: EventLoopFuture<String?>

  private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let promise: EventLoopPromise<String?>
    private var text = ""
    init(_ promise: EventLoopPromise<String?>) { self.promise = promise }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      text += String(buffer: unwrapInboundIn(data))
      if text.last == "\n" { promise.succeed(text) }
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    func channelInactive(context: ChannelHandlerContext) { promise.succeed(text.isEmpty ? nil : text) }
  }

  /// Speaks TLS, as `north.test` unless `adjust` says otherwise.
  init(port: UInt16, sending text: String = "", _ adjust: (inout TLSConfiguration) -> Void = { _ in }) throws
  {
    var settings = TLSConfiguration.makeClientConfiguration()
    settings.certificateVerification = .none
    settings.certificateChain = try NIOSSLCertificate.fromPEMBytes(Array(TestCertificates.north.utf8))
      .map { .certificate($0) }
    settings.privateKey = .privateKey(
      try NIOSSLPrivateKey(bytes: Array(TestCertificates.northKey.utf8), format: .pem))
    settings.applicationProtocols = ["baton/1"]
    adjust(&settings)
    let context = try NIOSSLContext(configuration: settings)
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let promise = loop.makePromise(of: String?.self)
    received = promise.futureResult
    channel = try ClientBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          let tls = try NIOSSLClientHandler(context: context, serverHostname: nil)
          try channel.pipeline.syncOperations.addHandlers([tls, Collector(promise)])
        }
      }
      .connect(host: "127.0.0.1", port: Int(port)).wait()
    if !text.isEmpty { channel.writeAndFlush(ByteBuffer(string: text), promise: nil) }
  }

  /// Speaks no TLS.
  init(plainPort port: UInt16, sending bytes: [UInt8]) throws {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let promise = loop.makePromise(of: String?.self)
    received = promise.futureResult
    channel = try ClientBootstrap(group: loop)
      .channelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.addHandler(Collector(promise))
        }
      }
      .connect(host: "127.0.0.1", port: Int(port)).wait()
    channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil)
  }

  /// The first line that came; nil when the connection ended without one.
  func answer() -> String? { try? received.wait() }

  /// Sends more; a connection that is gone takes nothing.
  func send(_ bytes: [UInt8]) { channel.writeAndFlush(ByteBuffer(bytes: bytes), promise: nil) }

  func close() { channel.close(promise: nil) }
}
