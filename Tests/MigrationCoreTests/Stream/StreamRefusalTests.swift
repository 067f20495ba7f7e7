import BatonWire
import EncryptionStatus
import SEVCertificates
import Testing

@testable import MigrationCore

@Suite("A migration stream is refused") struct StreamRefusalTests {
  private static func fault(_ body: () throws(StreamFault) -> Void) -> StreamFault? {
    do throws(StreamFault) {
      try body()
      return nil
    } catch { return error }
  }

  /// A frame with any payload.
  private static func frame(_ type: FrameType, _ payload: [UInt8]) -> [UInt8] {
    FrameHeader.frame(type) { $0.write(raw: payload) }
  }

  @Test("for an unknown type, flags and a length beyond its type's limit, before the bytes come")
  func headers() throws {
    let cases: [([UInt8], StreamFault)] = [
      ([11, 0, 0, 0, 0, 0, 0, 0], .unknownFrame(11)),
      ([5, 0, 0, 128, 0, 0, 0, 0], .reservedFlags(.roundEnd, 0x8000)),
      ([4, 0, 0, 0, 255, 255, 255, 255], .frameTooLong(.batch, .max)),
      ([66, 0, 0, 0, 1, 0, 0, 0], .frameTooLong(.keepalive, 1)),
    ]
    for (bytes, expected) in cases {
      let talk = try Conversation.at(.pages)
      #expect(Self.fault { () throws(StreamFault) in try talk.target.feed(bytes) } == expected)
    }
  }

  @Test("for a payload that is cut or longer than its fields, whatever the frame") func payloads() throws {
    let samples: [(StreamPhase, SourceFrame)] = [
      (.manifest, .manifest(StreamSamples.offer(.sevES))), (.session, .session(StreamSamples.session)),
      (.pages, .roundEnd(RoundEnd(round: 0, batches: 0, pages: 0, isLast: false))),
      (.regions, .sharedRegions(StreamSamples.regions)), (.saveAreas, .saveArea(StreamSamples.saveArea(0))),
      (.end, .end(StreamTotals())), (.receipt, .receipt(StreamSamples.receipt)),
      (.pages, .cancel(Cancellation(refusal: .noRoom, text: "text"))),
    ]
    for (phase, frame) in samples {
      let payload = Array(frame.encoded().dropFirst(8))
      for length in Array(0..<min(payload.count, 80)) + [payload.count - 1, payload.count + 1] {
        let talk = try Conversation.at(phase)
        let cut = Array((payload + [0]).prefix(length))
        let fault = Self.fault { () throws(StreamFault) in
          try talk.target.feed(Self.frame(frame.type, cut))
        }
        switch fault {
        case .malformed(frame.type, .truncated), .malformed(frame.type, .trailingBytes),
          .malformed(frame.type, .badValue), .badRegions:
          break
        default:
          Issue.record("\(frame.type) with \(length) of \(payload.count) bytes: \(String(describing: fault))")
        }
      }
    }
  }

  @Test("for a target frame's payload that is cut or longer than its fields") func targetPayloads() throws {
    let samples: [(StreamPhase, TargetFrame)] = [
      (.reply, .preambleReply(StreamSamples.reply)), (.target, .target(StreamSamples.target(.sevES))),
      (.pages, .acknowledged(Acknowledgement(sequence: 0, pages: 0, deviceNanoseconds: 0))),
      (.ready, .ready(RestoreTimes(finishNanoseconds: 0, restoreNanoseconds: 0))),
      (.running, .running(FirstInstruction(epoch: 8, nanoseconds: 0))),
    ]
    for (phase, frame) in samples {
      let payload = Array(frame.encoded().dropFirst(8))
      for length in Array(0..<payload.count) + [payload.count + 1] {
        let talk = try Conversation.at(phase)
        talk.source.receive(Self.frame(frame.type, Array((payload + [0]).prefix(length))))
        let fault = Self.fault { () throws(StreamFault) in _ = try talk.source.next() }
        guard case .malformed(frame.type, _) = fault else {
          Issue.record("\(frame.type) with \(length) of \(payload.count) bytes: \(String(describing: fault))")
          continue
        }
      }
    }
  }

  // MARK: The machine and the end

  @Test("for a manifest that does not fit together, no vCPU, or more RAM than the target keeps account of")
  func manifest() throws {
    var offer = StreamSamples.offer(.none)
    offer.manifest.regions[1].guestPhysicalAddress = 0x1000
    let overlapping = offer
    var noVCPU = StreamSamples.offer(.none)
    noVCPU.manifest.vcpuCount = 0
    let cases: [(MachineOffer, StreamFault)] = [
      (overlapping, .badManifest(.overlap(0, 1))),
      (noVCPU, .malformed(.manifest, .badValue(field: "vCPU count"))),
    ]
    for (offer, expected) in cases {
      let talk = try Conversation.at(.manifest, kind: .none)
      #expect(throws: expected) { try talk.source.send(.manifest(offer)) }
      #expect(throws: expected) { try talk.target.feed(SourceFrame.manifest(offer).encoded()) }
    }
    let small = ReceivingEnd(kind: .none, stream: TargetStream(maximumRAM: 23 * 4_096))
    try small.feed(SourceFrame.preamble(StreamSamples.preamble()).encoded())
    #expect(throws: StreamFault.tooMuchRAM(bytes: 24 * 4_096, limit: 23 * 4_096)) {
      try small.feed(SourceFrame.manifest(StreamSamples.offer(.none)).encoded())
    }
  }

  @Test("for certificates with a plain guest, and for none with an encrypted one") func certificates() throws
  {
    for (kind, wrong) in [(SEVKind.none, SEVKind.sev), (.sev, .none), (.sevES, .none)] {
      let talk = try Conversation.at(.target, kind: kind)
      talk.source.receive(TargetFrame.target(StreamSamples.target(wrong)).encoded())
      #expect(throws: StreamFault.malformed(.target, .badValue(field: "certificates flag"))) {
        try talk.source.next()
      }
    }
  }

  @Test("for a round that counts other batches or pages than came, or is another") func rounds() throws {
    for (batches, pages) in [(UInt64(0), UInt64(2)), (2, 2), (1, 1), (1, 3)] {
      let talk = try Conversation.at(.pages)
      try talk.send(StreamSamples.batch([(1, .plain), (2, .zero)]))
      let announced = RoundEnd(round: 0, batches: batches, pages: pages, isLast: false)
      let counted = RoundEnd(round: 0, batches: 1, pages: 2, isLast: false)
      #expect(throws: StreamFault.roundDiffers(announced, counted: counted)) {
        try talk.target.feed(SourceFrame.roundEnd(announced).encoded())
      }
    }
    let talk = try Conversation.at(.pages)
    #expect(throws: StreamFault.wrongRound(expected: 0, received: 1)) {
      try talk.target.feed(
        SourceFrame.roundEnd(RoundEnd(round: 1, batches: 0, pages: 0, isLast: false)).encoded())
    }
  }

  @Test("at its end when a page of the guest's RAM never came") func missingPages() throws {
    let talk = try Conversation.at(.pages, kind: .none)
    try talk.send(StreamSamples.batch(talk.allPages.filter { $0.0 != 9 && $0.0 != 0x100002 }))
    var end = talk.source.roundSoFar
    end.isLast = true
    try talk.send(.roundEnd(end))
    try talk.send(.sharedRegions(SharedRegions()))
    try talk.send(.state(StateChunk(offset: 0, total: 0, bytes: [])))
    #expect(throws: StreamFault.pagesMissing(count: 2, first: 9)) {
      try talk.send(.end(talk.source.totals))
    }
  }

  @Test("when the totals at its end differ in any one figure") func totals() throws {
    let changes: [(String, WritableKeyPath<StreamTotals, UInt64>)] = [
      ("batches", \.batches), ("zero pages", \.zeroPages), ("plain pages", \.plainPages),
      ("encrypted pages", \.encryptedPages), ("shared ranges", \.sharedRanges),
      ("bytes of device state", \.stateBytes), ("bytes", \.bytes),
    ]
    for (name, path) in changes {
      let talk = try Conversation.at(.end)
      var totals = talk.source.totals
      totals[keyPath: path] += 1
      #expect(
        throws: StreamFault.totalsDiffer(
          name, announced: totals[keyPath: path], counted: totals[keyPath: path] - 1)
      ) { try talk.target.feed(SourceFrame.end(totals).encoded()) }
    }
    for (name, path) in [("rounds", \StreamTotals.rounds), ("save areas", \.saveAreas)] {
      let talk = try Conversation.at(.end)
      var totals = talk.source.totals
      totals[keyPath: path] += 1
      #expect(
        throws: StreamFault.totalsDiffer(
          name, announced: UInt64(totals[keyPath: path]), counted: UInt64(totals[keyPath: path]) - 1)
      ) { try talk.target.feed(SourceFrame.end(totals).encoded()) }
    }
  }

  @Test("for a list of shared regions that is not in its canonical form") func regions() throws {
    let talk = try Conversation.at(.regions)
    let swapped = Array(SharedRegions().encoded().dropLast(8)) + [2, 0, 0, 0, 0, 0, 0, 0]
    #expect(
      Self.fault { () throws(StreamFault) in try talk.target.feed(Self.frame(.sharedRegions, swapped)) }?
        .refusal == .streamDamaged)
  }

  @Test("for a save area out of its order") func saveAreas() throws {
    for (first, then) in [(UInt32(1), nil), (0, UInt32(0)), (0, 2)] as [(UInt32, UInt32?)] {
      let talk = try Conversation.at(.saveAreas)
      let fault = Self.fault { () throws(StreamFault) in
        try talk.target.feed(SourceFrame.saveArea(StreamSamples.saveArea(first)).encoded())
        if let then { try talk.target.feed(SourceFrame.saveArea(StreamSamples.saveArea(then)).encoded()) }
      }
      #expect(
        fault
          == .saveAreaOutOfOrder(expected: then == nil ? 0 : 1, received: then ?? first))
    }
    let early = try Conversation.at(.saveAreas)
    try early.send(.saveArea(StreamSamples.saveArea(0)))
    #expect(throws: StreamFault.unexpectedFrame(.state, .saveAreas)) {
      try early.target.feed(SourceFrame.state(StateChunk(offset: 0, total: 1, bytes: [1])).encoded())
    }
  }

  @Test("for device state that is out of order, longer than announced, or longer than any may be")
  func state() throws {
    let first = StateChunk(offset: 0, total: 8, bytes: [1, 2, 3, 4])
    let cases: [([StateChunk], StreamFault)] = [
      ([StateChunk(offset: 4, total: 8, bytes: [1])], .stateOutOfOrder(expected: 0, received: 4)),
      ([first, first], .stateOutOfOrder(expected: 4, received: 0)),
      ([first, StateChunk(offset: 5, total: 8, bytes: [1])], .stateOutOfOrder(expected: 4, received: 5)),
      (
        [first, StateChunk(offset: 4, total: 9, bytes: [1])],
        .stateLengthChanged(announced: 8, received: 9)
      ),
      (
        [first, StateChunk(offset: 4, total: 8, bytes: [1, 2, 3, 4, 5])],
        .stateLengthChanged(announced: 8, received: 9)
      ),
      (
        [StateChunk(offset: 0, total: StateChunk.maximumTotal + 1, bytes: [1])],
        .stateTooLong(StateChunk.maximumTotal + 1)
      ),
      ([first, StateChunk(offset: 4, total: 8, bytes: [])], .malformed(.state, .badValue(field: "state"))),
    ]
    for (chunks, expected) in cases {
      let talk = try Conversation.at(.state)
      let fault = Self.fault { () throws(StreamFault) in
        for chunk in chunks { try talk.target.feed(SourceFrame.state(chunk).encoded()) }
      }
      #expect(fault == expected)
    }
  }

  @Test("for a receipt that is not the one that the arrival is locked with") func receipt() throws {
    let talk = try Conversation.at(.receipt)
    let wrong = DepartureReceipt(Array(0x81..<0xA1)) ?? .random()
    #expect(throws: StreamFault.receiptDoesNotFit) { try talk.source.send(.receipt(wrong)) }
    #expect(throws: StreamFault.receiptDoesNotFit) {
      try talk.target.feed(SourceFrame.receipt(wrong).encoded())
    }
    #expect(StreamFault.receiptDoesNotFit.refusal == .receiptWrong)
  }

  @Test("for an acknowledgement of what was not sent, and for one that takes something back")
  func acknowledgements() throws {
    let good = Acknowledgement(sequence: 0, pages: 2, deviceNanoseconds: 5)
    let wrong = [
      Acknowledgement(sequence: 1, pages: 2, deviceNanoseconds: 5),
      Acknowledgement(sequence: 0, pages: 3, deviceNanoseconds: 5),
      Acknowledgement(sequence: 0, pages: 1, deviceNanoseconds: 5),
      Acknowledgement(sequence: 0, pages: 2, deviceNanoseconds: 4),
    ]
    for acknowledgement in wrong {
      let talk = try Conversation.at(.pages)
      var batch = StreamSamples.batch([(1, .plain), (2, .zero)])
      try talk.source.seal(&batch)
      talk.source.receive(TargetFrame.acknowledged(good).encoded())
      let first = try talk.source.next()
      #expect(first == .acknowledged(good))
      talk.source.receive(TargetFrame.acknowledged(acknowledgement).encoded())
      #expect(throws: StreamFault.acknowledgementWrong(sequence: acknowledgement.sequence)) {
        try talk.source.next()
      }
    }
  }

  @Test("for an epoch at the target that is not newer than the source's") func epoch() throws {
    let talk = try Conversation.at(.running)
    talk.source.receive(
      TargetFrame.running(FirstInstruction(epoch: 7, nanoseconds: 0)).encoded())
    #expect(throws: StreamFault.malformed(.running, .badValue(field: "epoch"))) { try talk.source.next() }
  }

  @Test("with a sentence of its own for every fault, none of which is empty or ends with a period")
  func sentences() {
    let faults: [StreamFault] = [
      .notAStream, .unknownFrame(9), .reservedFlags(.batch, 1), .frameTooLong(.state, 9),
      .malformed(.end, .trailingBytes(1)), .truncated(.batch, missing: 3), .truncated(nil, missing: 3),
      .endedEarly(.ready), .noCommonVersion(ours: StreamVersion.spoken, theirs: StreamVersion.spoken),
      .versionNotOffered(2), .featuresMissing(.saveAreas), .featuresNotOffered(.saveAreas),
      .unexpectedFrame(.end, .pages), .batchDamaged(sequence: 1),
      .batchTruncated(sequence: 1, announced: 2, received: 1), .batchMissing(expected: 1, received: 2),
      .batchesSwapped(1, 2), .batchReplayed(sequence: 1, expected: 2), .batchEmpty(sequence: 1),
      .tooManyPages(sequence: 1, pages: 300), .wrongRound(expected: 0, received: 1),
      .unknownPageKind(frame: 1, kind: 9), .pageNotAllowed(frame: 1, .encrypted), .pageOutsideRAM(frame: 1),
      .pageRepeated(frame: 1, round: 0), .badManifest(.noRAM), .tooMuchRAM(bytes: 2, limit: 1),
      .roundDiffers(
        RoundEnd(round: 0, batches: 1, pages: 1, isLast: false),
        counted: RoundEnd(round: 0, batches: 2, pages: 1, isLast: false)),
      .pagesMissing(count: 1, first: 2), .totalsDiffer("bytes", announced: 1, counted: 2),
      .badRegions(.tooManyRanges), .saveAreaOutOfOrder(expected: 0, received: 1),
      .stateOutOfOrder(expected: 0, received: 1), .stateTooLong(1),
      .stateLengthChanged(announced: 1, received: 2), .acknowledgementWrong(sequence: 1),
      .receiptDoesNotFit,
    ]
    #expect(Set(faults.map(\.description)).count == faults.count)
    for fault in faults {
      #expect(!fault.description.isEmpty && !fault.description.hasSuffix("."))
      #expect(fault.description.utf8.count <= Cancellation.maximumText)
    }
  }
}
