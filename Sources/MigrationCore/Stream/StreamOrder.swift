import BatonWire
import EncryptionStatus

/// Which frame may come when, and what must agree between frames: the same for the end that sends a frame and
/// for the one that receives it, so that each is told of its own mistakes by the name that its peer would use.
struct StreamOrder: Sendable {
  private(set) var phase: StreamPhase = .preamble
  private(set) var version: UInt16?
  private(set) var features: StreamFeatures = []
  private(set) var totals = StreamTotals()
  /// The round under way.
  private(set) var round = RoundEnd(round: 0, batches: 0, pages: 0, isLast: false)
  private(set) var acknowledged: Acknowledgement?
  private(set) var preamble: Preamble?
  private(set) var offer: MachineOffer?
  /// Bytes that the state's first chunk announced.
  private var stateTotal: UInt64?

  /// Whether the guest's pages may be encrypted ones.
  var isEncrypted: Bool { offer.map { $0.kind != .none } ?? false }

  /// Refuses a frame that may not come now; asked as soon as its header is there.
  func admit(_ type: FrameType, from sender: FrameType.Sender) throws(StreamFault) {
    guard isExpected(type, from: sender) else { throw .unexpectedFrame(type, phase) }
  }

  private func isExpected(_ type: FrameType, from sender: FrameType.Sender) -> Bool {
    switch type {
    case .preamble: sender == .source && phase == .preamble
    case .preambleReply: sender == .target && phase == .reply
    case .manifest: sender == .source && phase == .manifest
    case .target: sender == .target && phase == .target
    case .session: sender == .source && phase == .session
    case .sessionAccepted: sender == .target && phase == .sessionReply
    case .batch: sender == .source && phase == .pages
    case .roundEnd: sender == .source && phase == .pages
    case .sharedRegions: sender == .source && phase == .regions
    case .saveArea: sender == .source && phase == .saveAreas
    case .state: sender == .source && phase == .state
    case .end: sender == .source && phase == .end
    case .acknowledged: sender == .target && hasPages
    case .ready: sender == .target && phase == .ready
    case .receipt: sender == .source && phase == .receipt
    case .running: sender == .target && phase == .running
    case .cancel: mayCancel(sender)
    case .keepalive: phase != .preamble && phase != .cancelled && phase != .failed
    }
  }

  /// Phases in which the target puts pages into RAM or may still have something to say about it.
  private var hasPages: Bool {
    switch phase {
    case .pages, .regions, .saveAreas, .state, .end, .ready: true
    case .preamble, .reply, .manifest, .target, .session, .sessionReply, .receipt, .running, .done,
      .cancelled, .failed:
      false
    }
  }

  /// The source may until it gave the guest up, the target until it said that it is ready.
  private func mayCancel(_ sender: FrameType.Sender) -> Bool {
    switch phase {
    case .preamble, .reply, .manifest, .target, .session, .sessionReply, .pages, .regions, .saveAreas,
      .state, .end, .ready:
      true
    case .receipt: sender == .source
    case .running, .done, .cancelled, .failed: false
    }
  }

  // MARK: The source's frames

  /// - Parameter byteCount: Of the whole frame.
  mutating func step(_ frame: SourceFrame, byteCount: Int) throws(StreamFault) {
    try admit(frame.type, from: .source)
    switch frame {
    case .preamble(let preamble):
      self.preamble = preamble
      phase = .reply
    case .manifest(let offer):
      try check(offer)
      self.offer = offer
      phase = .target
    case .session: phase = .sessionReply
    case .roundEnd(let end): try endRound(end)
    case .sharedRegions(let regions):
      totals.sharedRanges = UInt64(regions.ranges.count)
      phase = offer?.kind == .sevES ? .saveAreas : .state
    case .saveArea(let packet):
      guard packet.vcpu == totals.saveAreas else {
        throw .saveAreaOutOfOrder(expected: totals.saveAreas, received: packet.vcpu)
      }
      totals.saveAreas += 1
      if totals.saveAreas >= UInt32(offer?.manifest.vcpuCount ?? 0) { phase = .state }
    case .state(let chunk): try take(chunk)
    case .end(let announced):
      try totals.compare(announced: announced)
      phase = .ready
    case .receipt(let receipt):
      guard let preamble, DepartureLock(of: receipt, for: preamble.id) == preamble.lock else {
        throw .receiptDoesNotFit
      }
      phase = .running
    case .cancel: phase = .cancelled
    case .keepalive: break
    }
    totals.bytes &+= UInt64(byteCount)
  }

  /// A batch that was sealed or opened.
  ///
  /// - Parameter byteCount: Of the whole frame.
  mutating func step(
    batchOf round: UInt32, zero: UInt64, plain: UInt64, encrypted: UInt64, byteCount: Int
  ) throws(StreamFault) {
    try admit(.batch, from: .source)
    guard round == self.round.round else {
      throw .wrongRound(expected: self.round.round, received: round)
    }
    self.round.batches &+= 1
    self.round.pages &+= zero &+ plain &+ encrypted
    totals.batches &+= 1
    totals.zeroPages &+= zero
    totals.plainPages &+= plain
    totals.encryptedPages &+= encrypted
    totals.bytes &+= UInt64(byteCount)
  }

  private func check(_ offer: MachineOffer) throws(StreamFault) {
    do throws(Manifest.Problem) { try offer.manifest.validate() } catch { throw .badManifest(error) }
    let missing = offer.kind.neededFeatures.subtracting(features)
    guard missing.isEmpty else { throw .featuresMissing(missing) }
    guard offer.manifest.vcpuCount > 0 else { throw .malformed(.manifest, .badValue(field: "vCPU count")) }
  }

  private mutating func endRound(_ end: RoundEnd) throws(StreamFault) {
    // A plan is over when its source knows enough; the guest never stands still for it.
    guard !end.isLast || preamble?.intent == .migrate else { throw .unexpectedFrame(.roundEnd, phase) }
    guard end.round == round.round else {
      throw .wrongRound(expected: round.round, received: end.round)
    }
    guard end.batches == round.batches, end.pages == round.pages else {
      throw .roundDiffers(end, counted: round)
    }
    totals.rounds &+= 1
    round = RoundEnd(round: totals.rounds, batches: 0, pages: 0, isLast: false)
    if end.isLast { phase = .regions }
  }

  private mutating func take(_ chunk: StateChunk) throws(StreamFault) {
    guard chunk.total <= StateChunk.maximumTotal else { throw .stateTooLong(chunk.total) }
    let total = stateTotal ?? chunk.total
    guard chunk.total == total else {
      throw .stateLengthChanged(announced: total, received: chunk.total)
    }
    guard chunk.offset == totals.stateBytes else {
      throw .stateOutOfOrder(expected: totals.stateBytes, received: chunk.offset)
    }
    guard UInt64(chunk.bytes.count) <= total - chunk.offset else {
      throw .stateLengthChanged(
        announced: total, received: chunk.offset + UInt64(chunk.bytes.count))
    }
    guard !chunk.bytes.isEmpty || total == 0 else {
      throw .malformed(.state, .badValue(field: "state"))
    }
    stateTotal = total
    totals.stateBytes += UInt64(chunk.bytes.count)
    if totals.stateBytes == total { phase = .end }
  }

  // MARK: The target's frames

  mutating func step(_ frame: TargetFrame) throws(StreamFault) {
    try admit(frame.type, from: .target)
    switch frame {
    case .preambleReply(let reply):
      guard let preamble else { throw .unexpectedFrame(.preambleReply, phase) }
      guard reply.version >= preamble.versions.oldest, reply.version <= preamble.versions.newest else {
        throw .versionNotOffered(reply.version)
      }
      let foreign = reply.features.subtracting(preamble.offered)
      guard foreign.isEmpty else { throw .featuresNotOffered(foreign) }
      let missing = preamble.required.subtracting(reply.features)
      guard missing.isEmpty else { throw .featuresMissing(missing) }
      version = reply.version
      features = reply.features
      phase = .manifest
    case .target(let facts):
      guard (facts.certificates != nil) == isEncrypted else {
        throw .malformed(.target, .badValue(field: "certificates flag"))
      }
      phase = isEncrypted ? .session : .pages
    case .sessionAccepted: phase = .pages
    case .acknowledged(let acknowledgement): try take(acknowledgement)
    case .ready: phase = .receipt
    case .running(let first):
      guard first.epoch > preamble?.epoch ?? 0 else {
        throw .malformed(.running, .badValue(field: "epoch"))
      }
      phase = .done
    case .cancel: phase = .cancelled
    case .keepalive: break
    }
  }

  private mutating func take(_ new: Acknowledgement) throws(StreamFault) {
    guard new.sequence < totals.batches, new.pages <= totals.pages else {
      throw .acknowledgementWrong(sequence: new.sequence)
    }
    if let old = acknowledged {
      guard new.sequence >= old.sequence, new.pages >= old.pages,
        new.deviceNanoseconds >= old.deviceNanoseconds
      else { throw .acknowledgementWrong(sequence: new.sequence) }
    }
    acknowledged = new
  }
}
