import BatonWire
import MigrationCore

/// A target with a memory, which answers everything as a VMM would.
final class ReceivingEnd {
  var stream: TargetStream
  /// What is in the guest's RAM, by frame.
  private(set) var pages: [UInt64: [UInt8]] = [:]
  /// Everything that was ever there.
  private(set) var history: [UInt64: [[UInt8]]] = [:]
  private(set) var events: [TargetStream.Event] = []
  /// Frames of the target's, each as its bytes.
  private(set) var answers: [[UInt8]] = []
  private let kind: SEVKind

  init(kind: SEVKind, stream: consuming TargetStream = TargetStream()) {
    self.kind = kind
    self.stream = stream
  }

  /// Takes bytes as one piece and does all that follows from them.
  func feed(_ bytes: [UInt8]) throws(StreamFault) {
    stream.receive(bytes)
    while let event = try stream.next() {
      events.append(event)
      switch event {
      case .batch:
        takePages()
        if let frame = stream.acknowledgement(deviceNanoseconds: UInt64(pages.count)) { try answer(frame) }
      case .frame(.preamble): try answer(stream.reply(host: "south.test", build: "baton-vmm 1.0"))
      case .frame(.manifest): try answer(.target(StreamSamples.target(kind)))
      case .frame(.session): try answer(.sessionAccepted)
      case .frame(.end):
        try answer(.ready(RestoreTimes(finishNanoseconds: 2_000, restoreNanoseconds: 3_000)))
      case .frame(.receipt):
        try answer(.running(FirstInstruction(epoch: 8, nanoseconds: 1_700_000_000_000_000_000)))
      case .frame: break
      }
    }
  }

  /// Whether every page here was once that page there.
  func hasOnlyPages(of other: ReceivingEnd) -> Bool {
    pages.allSatisfy { frame, page in other.history[frame]?.contains(page) == true }
  }

  private func answer(_ frame: TargetFrame) throws(StreamFault) { answers.append(try stream.send(frame)) }

  private func takePages() {
    while let (frame, bytes) = stream.takePage({ page, header, data -> (UInt64, [UInt8]) in
      var bytes: [UInt8] = []
      for index in header.indices { bytes.append(header[index]) }
      for index in data.indices { bytes.append(data[index]) }
      return (page.frame, page.kind == .zero ? Array(repeating: 0, count: 4_096) : bytes)
    }) {
      pages[frame] = bytes
      history[frame, default: []].append(bytes)
    }
  }
}

/// A source and a target that talk to each other, step by step.
final class Conversation {
  let kind: SEVKind
  var source = SourceStream()
  let target: ReceivingEnd
  /// Frames of the source's, each as its bytes.
  private(set) var sent: [[UInt8]] = []
  /// Answers that the source took.
  private(set) var heard: [TargetFrame] = []
  private var delivered = 0

  init(kind: SEVKind = .sevES) {
    self.kind = kind
    target = ReceivingEnd(kind: kind)
  }

  /// A conversation in which `phase` has to come next.
  static func at(_ phase: StreamPhase, kind: SEVKind = .sevES) throws -> Conversation {
    let conversation = Conversation(kind: kind)
    try conversation.advance(to: phase)
    return conversation
  }

  /// Does what is usual until `phase` has to come next on the source's side.
  func advance(to phase: StreamPhase) throws {
    while source.phase != phase {
      switch source.phase {
      case .preamble: try send(.preamble(StreamSamples.preamble()))
      case .manifest: try send(.manifest(StreamSamples.offer(kind)))
      case .session: try send(.session(StreamSamples.session))
      case .pages:
        try send(StreamSamples.batch(allPages))
        var end = source.roundSoFar
        end.isLast = true
        try send(.roundEnd(end))
      case .regions: try send(.sharedRegions(StreamSamples.regions))
      case .saveAreas: try send(.saveArea(StreamSamples.saveArea(source.totals.saveAreas)))
      case .state: for chunk in StreamChunks.cut(StreamSamples.state, by: 4) { try send(.state(chunk)) }
      case .end: try send(.end(source.totals))
      case .receipt: try send(.receipt(StreamSamples.receipt))
      case .reply, .target, .sessionReply, .ready, .running: try hear()
      case .done, .cancelled, .failed: return
      }
    }
  }

  /// Every page of RAM once, of all kinds that the guest may have.
  var allPages: [(UInt64, PageKind)] {
    StreamSamples.frames.map {
      ($0, $0 % 3 == 0 ? .zero : $0 % 3 == 1 || kind == .none ? .plain : .encrypted)
    }
  }

  func send(_ frame: SourceFrame) throws(StreamFault) { try deliver(try source.send(frame)) }

  func send(_ batch: consuming PageBatch) throws(StreamFault) {
    var batch = batch
    try source.seal(&batch)
    try deliver(batch.bytes)
  }

  /// Brings bytes to the target as if the source had sent them.
  func deliver(_ bytes: [UInt8]) throws(StreamFault) {
    sent.append(bytes)
    try target.feed(bytes)
  }

  /// Brings the target's answers to the source.
  func hear() throws(StreamFault) {
    for answer in target.answers[delivered...] { source.receive(answer) }
    delivered = target.answers.count
    while let frame = try source.next() { heard.append(frame) }
  }
}

enum StreamChunks {
  /// Chunks that are shorter than the stream's own.
  static func cut(_ state: [UInt8], by size: Int) -> [StateChunk] {
    stride(from: 0, to: state.count, by: size).map {
      StateChunk(
        offset: UInt64($0), total: UInt64(state.count),
        bytes: Array(state[$0..<min(state.count, $0 + size)]))
    }
  }
}
