import NIOCore
import NIOSSL
import NIOTLS

/// What is known when a TLS connection was greeted: who the peer is, and its first line.
struct Greeting: Sendable {
  /// The peer's name: the one that was asked for, or the one that is allowed to connect.
  let peer: String
  /// The first line without its line end.
  let line: [UInt8]
}

/// The beginning of a TLS connection, until the peer's first line is there. From then on it keeps what comes until
/// the connection is made a pipe.
///
/// Lives on its channel's event loop.
final class GreetingHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  enum Role {
    /// Sends this line after the handshake and reads the answer.
    case connecting(to: String, line: [UInt8])
    /// Reads a line of one of these peers.
    case accepting(allowed: Set<String>)
  }

  private enum Phase {
    case handshake, line, over
  }

  private let role: Role
  private let limits: RemoteConfiguration.Limits
  private let promise: EventLoopPromise<Greeting>
  private var phase = Phase.handshake
  /// Whether the peer's stream has ended already.
  private(set) var hasEnded = false
  private var address = "the peer"
  private var name = ""
  private var buffer = LineBuffer()
  private var timer: Scheduled<Void>?

  /// - Parameter promise: Gets the greeting, or the ``RemoteFault`` that ended it.
  init(role: Role, limits: RemoteConfiguration.Limits, promise: EventLoopPromise<Greeting>) {
    self.role = role
    self.limits = limits
    self.promise = promise
  }

  /// What came behind the first line.
  var remainder: [UInt8] { buffer.bytes }

  // MARK: Events

  func handlerAdded(context: ChannelHandlerContext) {
    switch role {
    case .connecting(let host, _): address = host
    case .accepting: address = context.channel.remoteAddress?.ipAddress ?? "the peer"
    }
    let limit = limits.handshake
    let peer = address
    schedule(context, limit) { .handshakeLate(peer: peer, milliseconds: limit) }
    if context.channel.isActive { context.read() }
  }

  func handlerRemoved(context: ChannelHandlerContext) { timer?.cancel() }

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    context.read()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data)
    guard phase != .over else { return }
    do throws(RemoteFault) {
      guard let line = try buffer.append(bytes.readableBytesView) else { return }
      phase = .over
      timer?.cancel()
      promise.succeed(Greeting(peer: name, line: line))
    } catch {
      fail(context, error)
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    if phase != .over { context.read() }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case TLSUserEvent.handshakeCompleted(let negotiated): completeHandshake(context, negotiated)
    case ChannelEvent.inputClosed:
      hasEnded = true
      fail(context, .linkLost(peer: address, reason: "it ended the stream before its first line"))
    case _: context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard phase != .over else { return }
    let side: TLSFailure.Side
    switch role {
    case .connecting(let host, _): side = .connecting(to: host)
    case .accepting: side = .accepting
    }
    if phase == .line, let error = error as? NIOSSLError, error == .uncleanShutdown {
      fail(context, .linkLost(peer: address, reason: TLSFailure.reason(of: error)))
    } else {
      fail(context, TLSFailure.fault(error, peer: address, side: side, names: names(context)))
    }
  }

  func channelInactive(context: ChannelHandlerContext) {
    fail(context, .linkLost(peer: address, reason: "it closed the connection before its first line"))
    context.fireChannelInactive()
  }

  // MARK: Steps

  private func completeHandshake(_ context: ChannelHandlerContext, _ negotiated: String?) {
    guard phase == .handshake else { return }
    do throws(RemoteFault) {
      guard negotiated == TLSContexts.protocolName else {
        throw .unknownProtocol(peer: address, offered: negotiated)
      }
      name = try peerName(context)
    } catch {
      refuse(context, error, isHandshaken: true)
      return
    }
    phase = .line
    let limit = limits.line
    schedule(context, limit) { .lineLate(milliseconds: limit) }
    if case .connecting(_, let line) = role {
      context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(bytes: line)), promise: nil)
    }
    context.read()
  }

  private func peerName(_ context: ChannelHandlerContext) throws(RemoteFault) -> String {
    guard let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate() else {
      throw .certificateMissing(peer: address)
    }
    let names = PeerNames(of: certificate)
    switch role {
    case .connecting(let host, _):
      // The library compared names and addresses already; where there is none at all it takes the common name.
      guard !names.all.isEmpty else { throw .wrongPeerName(expected: host, found: []) }
      return host
    case .accepting(let allowed):
      guard let name = names.names.first(where: { allowed.contains($0) }) else {
        throw .peerNotAllowed(peer: address, names: names.all)
      }
      return name
    }
  }

  /// The names in the peer's certificate, as far as it was shown.
  private func names(_ context: ChannelHandlerContext) -> [String] {
    guard let certificate = try? context.pipeline.syncOperations.nioSSL_peerCertificate() else { return [] }
    return PeerNames(of: certificate).all
  }

  // MARK: Failing

  private func schedule(
    _ context: ChannelHandlerContext, _ milliseconds: UInt32, _ fault: @escaping () -> RemoteFault
  ) {
    timer?.cancel()
    timer = context.eventLoop.assumeIsolated().scheduleTask(in: .milliseconds(Int64(milliseconds))) {
      [weak self] in
      guard let self, phase != .over else { return }
      refuse(context, fault(), isHandshaken: phase == .line)
    }
  }

  /// Tells a peer that showed a good certificate why, and closes.
  private func refuse(_ context: ChannelHandlerContext, _ fault: RemoteFault, isHandshaken: Bool) {
    if isHandshaken, case .accepting = role {
      let line = context.channel.allocator.buffer(bytes: FirstLine.refusing(fault))
      context.writeAndFlush(wrapOutboundOut(line), promise: nil)
    }
    fail(context, fault)
  }

  private func fail(_ context: ChannelHandlerContext, _ fault: RemoteFault) {
    guard phase != .over else { return }
    phase = .over
    timer?.cancel()
    promise.fail(fault)
    Transport.close(context.channel)
  }
}
