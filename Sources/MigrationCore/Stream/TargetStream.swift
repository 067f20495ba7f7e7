public import BatonWire

/// The target's end of a migration stream: what the source may send, opened and checked, and what may be answered.
///
/// It does no input or output and knows no time. A fault is final: every later call throws it again, only a
/// cancel can still be sent.
public struct TargetStream: ~Copyable, Sendable {
  private let versions: ProtocolVersion
  private let spoken: StreamFeatures
  private let maximumRAM: UInt64
  private var order = StreamOrder()
  private var incoming = FrameBuffer()
  private var fault: StreamFault?
  private var agreedVersion: UInt16?
  private var opener: BatchOpener?
  private var batch: OpenBatch?
  private var applied: Acknowledgement?

  /// - Parameters:
  ///   - versions: What this end speaks.
  ///   - features: What this end can use.
  ///   - maximumRAM: Most bytes of guest RAM that are kept account of, two bits a page.
  public init(
    versions: ProtocolVersion = StreamVersion.spoken, features: StreamFeatures = .spoken,
    maximumRAM: UInt64 = 1 << 42
  ) {
    self.versions = versions
    spoken = features
    self.maximumRAM = maximumRAM
  }

  /// What ``next()`` gives.
  public enum Event: Equatable, Sendable {
    case frame(SourceFrame)
    /// A batch whose seal, order and entries are right; its pages are there for ``takePage(_:)``.
    case batch(BatchInfo)
  }

  public var phase: StreamPhase { fault == nil ? order.phase : .failed }
  /// The agreed version; nil before this end's reply.
  public var version: UInt16? { order.version }
  /// The agreed features; empty before this end's reply.
  public var features: StreamFeatures { order.features }
  /// What came so far.
  public var totals: StreamTotals { order.totals }
  public var preamble: Preamble? { order.preamble }
  public var offer: MachineOffer? { order.offer }
  /// Pages of the last batch that were not taken yet. While there are any, no bytes can be received.
  public var pagesToTake: Int { batch?.pagesLeft ?? 0 }

  // MARK: Sending

  /// The answer to the preamble, which must have come: the newest common version, the common features.
  public func reply(host: String, build: String) -> TargetFrame {
    guard let agreedVersion, let preamble = order.preamble else {
      preconditionFailure("a reply needs a preamble")
    }
    return .preambleReply(
      PreambleReply(
        version: agreedVersion, features: preamble.offered.intersection(spoken), host: host, build: build))
  }

  /// What has been taken so far, to be told to the source; nil before the first whole batch.
  ///
  /// - Parameter deviceNanoseconds: Time that the device (or memory) took for all pages so far.
  public func acknowledgement(deviceNanoseconds: UInt64) -> TargetFrame? {
    guard var applied else { return nil }
    applied.deviceNanoseconds = deviceNanoseconds
    return .acknowledged(applied)
  }

  /// The bytes of a frame, to be sent whole and in the order of these calls.
  ///
  /// - Throws: What the source would find wrong with it, so a mistake of the caller's.
  public mutating func send(_ frame: TargetFrame) throws(StreamFault) -> [UInt8] {
    if let fault, frame.type != .cancel { throw fault }
    // A frame that may not be sent leaves the stream as it was.
    try order.step(frame)
    if frame.type == .cancel { batch = nil }
    return frame.encoded()
  }

  // MARK: Receiving

  /// Lends room for bytes of the source's; ``next()`` has to give nil first.
  ///
  /// - Parameter fill: Appends what came, at most as much as there is room for.
  public mutating func receive<R, E: Error>(
    _ fill: (inout OutputSpan<UInt8>) throws(E) -> R
  ) throws(E) -> R {
    precondition(batch == nil, "the pages of the last batch were not taken")
    return try incoming.receive(fill)
  }

  /// Takes bytes of the source's.
  public mutating func receive(_ bytes: [UInt8]) {
    precondition(batch == nil, "the pages of the last batch were not taken")
    incoming.append(bytes)
  }

  /// The source has ended its side of the stream; all that ``next()`` gives was taken.
  ///
  /// - Throws: ``StreamFault/truncated(_:missing:)``, ``StreamFault/endedEarly(_:)`` or, when a batch was left out
  ///   before, ``StreamFault/batchMissing(expected:received:)``.
  public mutating func receivedEnd() throws(StreamFault) {
    if let fault { throw fault }
    guard order.phase != .done, order.phase != .cancelled else { return }
    let found = opener?.gap ?? incoming.faultAtEnd(order.phase)
    fault = found
    throw found
  }

  /// The source's next frame or batch, or nil when more bytes have to come or all was said.
  public mutating func next() throws(StreamFault) -> Event? {
    if let fault { throw fault }
    guard order.phase != .cancelled else {
      incoming.removeAll()
      return nil
    }
    precondition(batch == nil, "the pages of the last batch were not taken")
    do throws(StreamFault) {
      while let header = try nextHeader() {
        if let event = try take(header) { return event }
      }
      return nil
    } catch {
      fault = error
      throw error
    }
  }

  /// The header of the next frame if all of it is there; refuses one that may not come before it is.
  private func nextHeader() throws(StreamFault) -> FrameHeader? {
    let header: FrameHeader?
    do throws(StreamFault) {
      header = try incoming.header()
    } catch {
      throw order.phase == .preamble ? .notAStream : error
    }
    guard let header else { return nil }
    if header.type != .batch, let gap = opener?.gap { throw gap }
    try order.admit(header.type, from: .source)
    return incoming.count >= header.frameByteCount ? header : nil
  }

  /// Nil for a batch that is only noted, because one before it is missing.
  private mutating func take(_ header: FrameHeader) throws(StreamFault) -> Event? {
    switch header.type {
    case .batch: return try open(header).map { .batch($0) }
    case .preamble:
      let preamble = try read(preamble: incoming.payload(header))
      try finish(.preamble(preamble), header)
      opener = BatchOpener(preamble.key)
      return .frame(.preamble(preamble))
    case .manifest, .session, .roundEnd, .sharedRegions, .saveArea, .state, .end, .receipt, .cancel,
      .keepalive, .preambleReply, .target, .sessionAccepted, .acknowledged, .ready, .running:
      let frame = try SourceFrame(header.type, decoding: incoming.payload(header), in: order.phase)
      if case .end = frame { try opener?.checkAllPages() }
      try finish(frame, header)
      if case .manifest(let offer) = frame {
        let bytes = offer.manifest.ramByteCount
        guard bytes <= maximumRAM else { throw .tooMuchRAM(bytes: bytes, limit: maximumRAM) }
        opener?.expect(offer.manifest.regions, encrypted: offer.kind != .none)
      }
      if case .roundEnd = frame { opener?.startRound() }
      return .frame(frame)
    }
  }

  private mutating func finish(_ frame: SourceFrame, _ header: FrameHeader) throws(StreamFault) {
    try order.step(frame, byteCount: header.frameByteCount)
    incoming.consume(header.frameByteCount)
  }

  private mutating func read(preamble payload: [UInt8]) throws(StreamFault) -> Preamble {
    var reader = ByteReader(payload)
    let theirs = try Preamble.versions(decoding: &reader)
    guard let agreed = versions.agreed(with: theirs) else {
      throw .noCommonVersion(ours: versions, theirs: theirs)
    }
    let preamble: Preamble
    do throws(WireError) {
      preamble = try Preamble(
        versions: theirs, decoding: &reader, mayBeLonger: theirs.newest > versions.newest)
    } catch { throw .malformed(.preamble, error) }
    let missing = preamble.required.subtracting(spoken)
    guard missing.isEmpty else { throw .featuresMissing(missing) }
    agreedVersion = agreed
    return preamble
  }

  private mutating func open(_ header: FrameHeader) throws(StreamFault) -> BatchInfo? {
    guard var opener else { throw .unexpectedFrame(.batch, order.phase) }
    self.opener = nil
    defer { self.opener = opener }
    guard
      let opened = try opener.open(
        incoming.bytes, at: incoming.start, header, expected: order.totals.batches, round: order.round.round)
    else {
      incoming.consume(header.frameByteCount)
      return nil
    }
    try order.step(
      batchOf: opened.info.round, zero: opened.zeroPages, plain: opened.plainPages,
      encrypted: opened.encryptedPages, byteCount: header.frameByteCount)
    batch = opened
    return opened.info
  }

  /// Lends the next page of the last batch.
  ///
  /// - Parameter body: Gets the page, its packet header (52 bytes, or none) and its bytes (4,096, or none for a page
  ///   of zeros). When it throws, the page was not taken.
  /// - Returns: What `body` returned; nil when the batch has no more pages.
  public mutating func takePage<R, E: Error>(
    _ body: (BatchPage, Span<UInt8>, Span<UInt8>) throws(E) -> R
  ) throws(E) -> R? {
    guard let batch else { return nil }
    let result = try lend(batch.position, body)
    if batch.pagesLeft > 1 {
      self.batch?.position += BatchLayout.entryByteCount + result.page.kind.byteCount
      self.batch?.pagesLeft -= 1
    } else {
      applied = Acknowledgement(
        sequence: batch.info.sequence, pages: order.totals.pages, deviceNanoseconds: 0)
      incoming.consume(batch.frameByteCount)
      self.batch = nil
    }
    return result.value
  }

  /// - Parameter position: Of a page's entry, which was checked when the batch was opened.
  private func lend<R, E: Error>(
    _ position: Int, _ body: (BatchPage, Span<UInt8>, Span<UInt8>) throws(E) -> R
  ) throws(E) -> (page: BatchPage, value: R) {
    let bytes = incoming.bytes.span
    guard let page = BatchEntry(decoding: bytes, at: position).page else {
      preconditionFailure("the batch was checked when it was opened")
    }
    let first = position + BatchLayout.entryByteCount
    let data = first + page.kind.headerByteCount
    let end = first + page.kind.byteCount
    return (page, try body(page, bytes.extracting(first..<data), bytes.extracting(data..<end)))
  }
}
