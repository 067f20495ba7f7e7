import NIOCore

/// One end of a ``Pipe``: reads what its partner can send, and sends what its partner reads.
final class PipeEnd: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer
  typealias OutboundOut = ByteBuffer

  /// The other end.
  var partner: PipeEnd?
  /// How many bytes this end has read.
  private(set) var byteCount: UInt64 = 0

  // The cycle with the pipe is broken when the pipe is over.
  private var pipe: Pipe?
  private let side: Pipe.Side
  private let idleMilliseconds: UInt32
  private var context: ChannelHandlerContext?
  private var isReading = false
  private var wantsToRead = false
  private var inputEnded = false
  private var endsOutput = false
  private var outputEnded = false
  private var lastArrival = NIODeadline.now()
  private var watch: Scheduled<Void>?

  /// - Parameter idleMilliseconds: How long the peer may be silent while more is wanted; also how long what is still
  ///   to be delivered is waited for after a fault.
  init(pipe: Pipe, side: Pipe.Side, idleMilliseconds: UInt32) {
    self.pipe = pipe
    self.side = side
    self.idleMilliseconds = idleMilliseconds
  }

  /// Whether both directions have ended properly.
  var isDone: Bool { inputEnded && outputEnded }

  // MARK: Carrying

  /// Gives the partner bytes that this end got before there was a pipe.
  func pass(on bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    byteCount += UInt64(bytes.count)
    partner?.write(ByteBuffer(bytes: bytes))
    partner?.flush()
  }

  /// Begins to read.
  func begin() {
    guard let context, context.channel.isActive else {
      lose("the connection ended at once")
      return
    }
    if side == .peer { watchIdleness(context) }
    readMore()
  }

  private func readMore() {
    guard let context, let partner, !inputEnded else { return }
    guard partner.hasRoom else {
      wantsToRead = true
      return
    }
    if !isReading {
      isReading = true
      lastArrival = .now()
    }
    context.read()
  }

  private var hasRoom: Bool { context?.channel.isWritable ?? false }

  private func write(_ buffer: ByteBuffer) { context?.write(wrapOutboundOut(buffer), promise: nil) }

  private func flush() { context?.flush() }

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) {
    watch?.cancel()
    self.context = nil
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    var buffer = unwrapInboundIn(data)
    byteCount += UInt64(buffer.readableBytes)
    lastArrival = .now()
    // A socket whose other end is closed is read to its end, asked for or not. What then waits here is kept in room of
    // its own size.
    if let partner, !partner.hasRoom { buffer = context.channel.allocator.buffer(buffer: buffer) }
    partner?.write(buffer)
  }

  func channelReadComplete(context: ChannelHandlerContext) {
    isReading = false
    partner?.flush()
    readMore()
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    if let partner, context.channel.isWritable, partner.wantsToRead {
      partner.wantsToRead = false
      partner.readMore()
    }
    context.fireChannelWritabilityChanged()
  }

  // MARK: Ending

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed = event { endInput() }
    context.fireUserInboundEventTriggered(event)
  }

  /// The stream from this end is over: so is what the partner sends.
  func endInput() {
    guard !inputEnded else { return }
    inputEnded = true
    isReading = false
    watch?.cancel()
    partner?.endOutput()
    pipe?.endIsDone()
  }

  private func endOutput() {
    guard let context, !endsOutput else { return }
    endsOutput = true
    afterDelivery(context) { [weak self] in
      guard let self, pipe != nil else { return }
      outputEnded = true
      context.close(mode: .output, promise: nil)
      pipe?.endIsDone()
    }
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    lose(TLSFailure.reason(of: error))
  }

  func channelInactive(context: ChannelHandlerContext) {
    // Where this side has ended its stream already, the end of the other one closes the channel at once.
    if outputEnded { endInput() } else { lose("it closed the connection") }
    context.fireChannelInactive()
  }

  private func lose(_ reason: String) {
    if !isDone { pipe?.fail(side, .lost(reason)) }
  }

  /// The pipe is over. What is still to be sent is sent, then the channel is closed.
  ///
  /// - Parameter isOrderly: Otherwise a peer is not told that the stream has ended, and so knows that it has not.
  func finish(isOrderly: Bool) {
    pipe = nil
    partner = nil
    watch?.cancel()
    guard let context, context.channel.isActive else { return }
    if isOrderly {
      context.close(promise: nil)
      return
    }
    let limit = TimeAmount.milliseconds(Int64(idleMilliseconds))
    let timer = context.eventLoop.assumeIsolated().scheduleTask(in: limit) { Self.abort(context) }
    afterDelivery(context) {
      timer.cancel()
      Self.abort(context)
    }
  }

  private static func abort(_ context: ChannelHandlerContext) {
    guard context.channel.isActive else { return }
    if let handler = try? context.pipeline.syncOperations.handler(type: TransportHandler.self) {
      handler.abort()
    } else {
      context.close(promise: nil)
    }
  }

  /// Calls `body` when everything that was written so far was sent, or cannot be.
  private func afterDelivery(_ context: ChannelHandlerContext, _ body: @escaping () -> Void) {
    let promise = context.eventLoop.makePromise(of: Void.self)
    // Later, because this comes from within the writing: what the body writes before it closes would not be sent.
    let loop = context.eventLoop.assumeIsolated()
    promise.futureResult.assumeIsolated().whenComplete { _ in loop.execute(body) }
    context.writeAndFlush(wrapOutboundOut(context.channel.allocator.buffer(capacity: 0)), promise: promise)
  }

  private func watchIdleness(_ context: ChannelHandlerContext) {
    let limit = TimeAmount.milliseconds(Int64(idleMilliseconds))
    let step = TimeAmount.milliseconds(Int64(max(1, idleMilliseconds / 8)))
    watch = context.eventLoop.assumeIsolated().scheduleTask(in: step) { [weak self] in
      guard let self, pipe != nil, !inputEnded else { return }
      if isReading, NIODeadline.now() - lastArrival > limit {
        pipe?.fail(side, .idle(milliseconds: idleMilliseconds))
      } else {
        watchIdleness(context)
      }
    }
  }
}

/// First in the pipeline of a TLS connection, below TLS.
///
/// The end of a stream is told inside TLS only, with its close_notify. A TCP connection that were ended in one direction
/// would make the other host's event loop read all that is still queued there at once, whoever can take it or not.
final class TransportHandler: ChannelDuplexHandler {
  typealias InboundIn = ByteBuffer
  typealias OutboundIn = ByteBuffer

  private var context: ChannelHandlerContext?

  func handlerAdded(context: ChannelHandlerContext) { self.context = context }

  func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    switch mode {
    case .output: promise?.succeed(())
    case .input, .all: context.close(mode: mode, promise: promise)
    }
  }

  /// Ends the TCP connection without an end of the stream, so that the peer knows.
  func abort() { context?.close(mode: .all, promise: nil) }
}
