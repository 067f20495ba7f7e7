import NIOCore
import NIOSSL
import NIOTLS

/// What is known when a TLS connection was greeted: who the peer is, and its first line.
struct Greeting: Sendable {
  /// The peer's name: the one that was asked for, or the one that is allowed to connect.
  let peer: String
  /// The first line without its line end.
  let line: [UInt8]
  /// Keeps what comes behind the line.
  let handler: NIOLoopBound<GreetingHandler>
}

/// The beginning of a TLS connection, until the peer's first line is there. From then on it keeps what comes until
/// ``handOver()``: nothing is asked for meanwhile, but of a peer that has ended its connection everything is read that
/// the kernel has queued.
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
    case handshake, line
    /// The first line was there: what comes is kept.
    case greeted
    /// What comes is of no use, or somebody else's.
    case over
  }

  /// How far the peer's stream is.
  enum Ending: Hashable {
    case open
    /// It came to its end; the peer still takes what is sent.
    case ended
    /// The connection is gone.
    case lost(reason: String)
  }

  private let role: Role
  private let limits: RemoteConfiguration.Limits
  // A greeting keeps this handler, so neither of these is kept longer than it is needed.
  private var promise: EventLoopPromise<Greeting>?
  private var future: EventLoopFuture<Greeting>?
  private var phase = Phase.handshake
  private var ending = Ending.open
  private var address = "the peer"
  private var name = ""
  private var buffer = LineBuffer()
  private var timer: Scheduled<Void>?

  /// - Parameter loop: The one of its channel.
  init(role: Role, limits: RemoteConfiguration.Limits, on loop: any EventLoop) {
    self.role = role
    self.limits = limits
    let promise = loop.makePromise(of: Greeting.self)
    self.promise = promise
    future = promise.futureResult
  }

  /// Gets the greeting, or the ``RemoteFault`` that ended it; nil when somebody else has taken it.
  func takeGreeting() -> EventLoopFuture<Greeting>? {
    defer { future = nil }
    return future
  }

  /// Gives away what came behind the first line, and what is known of the stream's end. From now on events are to be
  /// taken by somebody else.
  func handOver() -> (bytes: [UInt8], ending: Ending) {
    phase = .over
    return (buffer.bytes, ending)
  }

  /// The connection cannot be used.
  func abandon(_ error: any Error) {
    phase = .over
    complete(.failure(error))
  }

  /// Nobody wants what comes behind the first line.
  func discard() { phase = .over }

  // MARK: Events

  func handlerAdded(context: ChannelHandlerContext) {
    switch role {
    case .connecting(let host, _): address = host
    case .accepting: address = context.channel.remoteAddress?.ipAddress ?? "the peer"
    }
    if context.channel.isActive { begin(context) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    timer?.cancel()
    guard phase == .handshake || phase == .line else { return }
    phase = .over
    complete(
      .failure(
        RemoteFault.linkLost(peer: address, reason: "the connection was closed before its first line")))
  }

  func channelActive(context: ChannelHandlerContext) {
    context.fireChannelActive()
    begin(context)
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    let bytes = unwrapInboundIn(data).readableBytesView
    switch phase {
    case .handshake, .line:
      do throws(RemoteFault) {
        guard let line = try buffer.append(bytes) else { return }
        phase = .greeted
        timer?.cancel()
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        complete(.success(Greeting(peer: name, line: line, handler: handler)))
      } catch {
        fail(context, error)
      }
    case .greeted: buffer.keep(bytes)
    case .over: break
    }
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    switch phase {
    case .handshake, .line: context.read()
    case .greeted, .over: break
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    switch event {
    case TLSUserEvent.handshakeCompleted(let negotiated): completeHandshake(context, negotiated)
    case ChannelEvent.inputClosed:
      if phase == .greeted, ending == .open { ending = .ended }
      fail(context, .linkLost(peer: address, reason: "it ended the stream before its first line"))
    case _: context.fireUserInboundEventTriggered(event)
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    if phase == .greeted { ending = .lost(reason: TLSFailure.reason(of: error)) }
    guard phase == .handshake || phase == .line else { return }
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
    if phase == .greeted {
      // Told behind what came before.
      if case .lost = ending { return }
      ending = .lost(reason: "it closed the connection")
      return
    }
    fail(context, .linkLost(peer: address, reason: "it closed the connection before its first line"))
    context.fireChannelInactive()
  }

  // MARK: Steps

  /// There is a TCP connection.
  private func begin(_ context: ChannelHandlerContext) {
    let limit = limits.handshake
    let peer = address
    schedule(context, limit) { .handshakeLate(peer: peer, milliseconds: limit) }
    context.read()
  }

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
      guard let self, phase == .handshake || phase == .line else { return }
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
    guard phase == .handshake || phase == .line else { return }
    phase = .over
    timer?.cancel()
    complete(.failure(fault))
    Transport.close(context.channel)
  }

  private func complete(_ result: Result<Greeting, any Error>) {
    let promise = promise
    self.promise = nil
    promise?.completeWith(result)
  }
}
