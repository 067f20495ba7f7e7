import BatonWire

/// The source's end of a migration stream: what it may send, sealed and numbered, and what the target may answer.
///
/// It does no input or output and knows no time. A fault is final: every later call throws it again, only a
/// cancel can still be sent.
public struct SourceStream: ~Copyable, Sendable {
  private var order = StreamOrder()
  private var incoming = FrameBuffer()
  private var fault: StreamFault?
  private var seal: BatchSeal?

  public init() {}

  public var phase: StreamPhase { fault == nil ? order.phase : .failed }
  /// The agreed version; nil before the target's reply.
  public var version: UInt16? { order.version }
  /// The agreed features; empty before the target's reply.
  public var features: StreamFeatures { order.features }
  /// What was sent so far: the content of the end frame when it is due.
  public var totals: StreamTotals { order.totals }
  /// The round under way: the content of its end frame, but for ``RoundEnd/isLast``.
  public var roundSoFar: RoundEnd { order.round }
  /// The target's last acknowledgement.
  public var acknowledged: Acknowledgement? { order.acknowledged }
  /// Batches that were sealed and not acknowledged.
  public var batchesUnacknowledged: UInt64 {
    order.totals.batches - (order.acknowledged.map { $0.sequence + 1 } ?? 0)
  }

  // MARK: Sending

  /// The bytes of a frame, to be sent whole and in the order of these calls.
  ///
  /// - Throws: What the target would find wrong with it, so a mistake of the caller's.
  public mutating func send(_ frame: SourceFrame) throws(StreamFault) -> [UInt8] {
    if let fault, frame.type != .cancel { throw fault }
    let bytes = frame.encoded()
    // A frame that may not be sent leaves the stream as it was.
    try order.step(frame, byteCount: bytes.count)
    if case .preamble(let preamble) = frame { seal = BatchSeal(preamble.key) }
    return bytes
  }

  /// Numbers and seals a batch; ``PageBatch/bytes`` is then a frame, to be sent as those of ``send(_:)`` are.
  ///
  /// - Parameter batch: Not empty and not sealed.
  /// - Complexity: O(bytes), one pass of AES-GCM's hash over them, no copy.
  public mutating func seal(_ batch: inout PageBatch) throws(StreamFault) {
    if let fault { throw fault }
    precondition(!batch.isEmpty && !batch.isSealed, "an empty or sealed batch cannot be sealed")
    guard let seal else { throw .unexpectedFrame(.batch, order.phase) }
    if let frame = batch.firstEncryptedFrame, !order.isEncrypted {
      throw .pageNotAllowed(frame: frame, .encrypted)
    }
    let sequence = order.totals.batches
    let round = order.round.round
    try order.step(
      batchOf: round, zero: batch.zeroPages, plain: batch.plainPages, encrypted: batch.encryptedPages,
      byteCount: batch.bytes.count + BatchSeal.tagByteCount)
    batch.close(sequence: sequence, round: round, with: seal)
  }

  // MARK: Receiving

  /// Lends room for bytes of the target's; ``next()`` has to give nil first.
  ///
  /// - Parameter fill: Appends what came, at most as much as there is room for.
  public mutating func receive<R, E: Error>(
    _ fill: (inout OutputSpan<UInt8>) throws(E) -> R
  ) throws(E) -> R {
    try incoming.receive(fill)
  }

  /// Takes bytes of the target's.
  public mutating func receive(_ bytes: [UInt8]) { incoming.append(bytes) }

  /// The target has ended its side of the stream; all that ``next()`` gives was taken.
  ///
  /// - Throws: ``StreamFault/truncated(_:missing:)`` or ``StreamFault/endedEarly(_:)`` when more had to come.
  public mutating func receivedEnd() throws(StreamFault) {
    if let fault { throw fault }
    guard order.phase != .done, order.phase != .cancelled else { return }
    let found = incoming.faultAtEnd(order.phase)
    fault = found
    throw found
  }

  /// The target's next frame, or nil when more bytes have to come or all was said.
  public mutating func next() throws(StreamFault) -> TargetFrame? {
    if let fault { throw fault }
    guard order.phase != .cancelled else {
      incoming.removeAll()
      return nil
    }
    do throws(StreamFault) {
      guard let header = try incoming.header() else { return nil }
      try order.admit(header.type, from: .target)
      guard incoming.count >= header.frameByteCount else { return nil }
      let frame = try TargetFrame(header.type, decoding: incoming.payload(header), in: order.phase)
      try order.step(frame)
      incoming.consume(header.frameByteCount)
      return frame
    } catch {
      fault = error
      throw error
    }
  }
}
