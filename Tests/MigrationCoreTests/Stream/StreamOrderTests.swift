import BatonWire
import Testing

@testable import MigrationCore

@Suite("The order of a migration stream") struct StreamOrderTests {
  private static let phases: [StreamPhase] = [
    .preamble, .reply, .manifest, .target, .session, .sessionReply, .pages, .regions, .saveAreas, .state,
    .end, .ready, .receipt, .running, .done,
  ]

  /// A frame of each kind, that is right in itself.
  private static let sourceFrames: [(SourceFrame, FrameType)] = [
    (.preamble(StreamSamples.preamble()), .preamble), (.manifest(StreamSamples.offer(.sevES)), .manifest),
    (.session(StreamSamples.session), .session),
    (.roundEnd(RoundEnd(round: 0, batches: 0, pages: 0, isLast: false)), .roundEnd),
    (.sharedRegions(StreamSamples.regions), .sharedRegions),
    (.saveArea(StreamSamples.saveArea(0)), .saveArea),
    (.state(StateChunk(offset: 0, total: 9, bytes: [1])), .state), (.end(StreamTotals()), .end),
    (.receipt(StreamSamples.receipt), .receipt), (.cancel(Cancellation(refusal: nil, text: "")), .cancel),
    (.keepalive, .keepalive),
  ]
  private static let targetFrames: [(TargetFrame, FrameType)] = [
    (.preambleReply(StreamSamples.reply), .preambleReply), (.target(StreamSamples.target(.sevES)), .target),
    (.sessionAccepted, .sessionAccepted),
    (.acknowledged(Acknowledgement(sequence: 0, pages: 0, deviceNanoseconds: 0)), .acknowledged),
    (.ready(RestoreTimes(finishNanoseconds: 0, restoreNanoseconds: 0)), .ready),
    (.running(FirstInstruction(epoch: 8, nanoseconds: 0)), .running),
    (.cancel(Cancellation(refusal: nil, text: "")), .cancel), (.keepalive, .keepalive),
  ]

  /// What may be sent where, written down a second time.
  private static func allowed(_ type: FrameType, _ phase: StreamPhase, source: Bool) -> Bool {
    let before = { (end: StreamPhase) in
      (phases.firstIndex(of: phase) ?? 0) < (phases.firstIndex(of: end) ?? 0)
    }
    switch (type, source) {
    case (.preamble, true): return phase == .preamble
    case (.manifest, true): return phase == .manifest
    case (.session, true): return phase == .session
    case (.batch, true), (.roundEnd, true): return phase == .pages
    case (.sharedRegions, true): return phase == .regions
    case (.saveArea, true): return phase == .saveAreas
    case (.state, true): return phase == .state
    case (.end, true): return phase == .end
    case (.receipt, true): return phase == .receipt
    case (.cancel, true): return before(.running)
    case (.preambleReply, false): return phase == .reply
    case (.target, false): return phase == .target
    case (.sessionAccepted, false): return phase == .sessionReply
    case (.acknowledged, false): return !before(.pages) && before(.receipt)
    case (.ready, false): return phase == .ready
    case (.running, false): return phase == .running
    case (.cancel, false): return before(.receipt)
    case (.keepalive, _): return phase != .preamble
    default: return false
    }
  }

  @Test(
    "has each of the source's frames in its phases only, and names the frame and the phase else",
    arguments: phases)
  func sourceOrder(phase: StreamPhase) throws {
    for (frame, type) in Self.sourceFrames {
      let talk = try Conversation.at(phase)
      do throws(StreamFault) {
        _ = try talk.source.send(frame)
        #expect(Self.allowed(type, phase, source: true), "\(type) was sent in \(phase)")
      } catch {
        if Self.allowed(type, phase, source: true) {
          #expect(error != .unexpectedFrame(type, phase), "\(type) was not sent in \(phase)")
        } else {
          #expect(error == .unexpectedFrame(type, phase))
          #expect(talk.source.phase == phase, "a mistake of its own does not end a stream")
        }
      }
    }
  }

  @Test(
    "has each of the target's frames in its phases only, for the source that reads them", arguments: phases)
  func targetOrder(phase: StreamPhase) throws {
    for (frame, type) in Self.targetFrames {
      let talk = try Conversation.at(phase)
      let bytes = try Self.encoded(frame)
      talk.source.receive(bytes)
      do throws(StreamFault) {
        _ = try talk.source.next()
        #expect(Self.allowed(type, phase, source: false), "\(type) came in \(phase)")
      } catch {
        if Self.allowed(type, phase, source: false) {
          #expect(error != .unexpectedFrame(type, phase), "\(type) did not come in \(phase)")
        } else {
          #expect(error == .unexpectedFrame(type, phase))
          #expect(talk.source.phase == .failed)
          #expect(throws: error) { try talk.source.next() }
        }
      }
    }
  }

  /// A frame's bytes, from a target that may just send it.
  private static func encoded(_ frame: TargetFrame) throws -> [UInt8] {
    func from(_ phase: StreamPhase) throws -> [UInt8] {
      let talk = Conversation()
      var target = TargetStream()
      func feed(_ bytes: [UInt8]) throws -> [UInt8]? {
        target.receive(bytes)
        while let event = try target.next() {
          if case .batch = event { while target.takePage({ _, _, _ in true }) != nil {} }
          if target.phase == phase { return try target.send(frame) }
          switch event {
          case .frame(.preamble): _ = try target.send(.preambleReply(StreamSamples.reply))
          case .frame(.manifest): _ = try target.send(.target(StreamSamples.target(.sevES)))
          case .frame(.session): _ = try target.send(.sessionAccepted)
          case .frame(.end):
            _ = try target.send(.ready(RestoreTimes(finishNanoseconds: 0, restoreNanoseconds: 0)))
          case .batch, .frame: break
          }
          if target.phase == phase { return try target.send(frame) }
        }
        return nil
      }
      try talk.advance(to: .done)
      for bytes in talk.sent { if let encoded = try feed(bytes) { return encoded } }
      Issue.record("no target comes to \(phase)")
      return []
    }
    return switch frame {
    case .preambleReply, .cancel, .keepalive: try from(.reply)
    case .target: try from(.target)
    case .sessionAccepted: try from(.sessionReply)
    case .acknowledged: try from(.regions)
    case .ready: try from(.ready)
    case .running: try from(.running)
    }
  }

  @Test("lets a frame of the wrong end be refused, whatever the phase", arguments: phases)
  func wrongEnd(phase: StreamPhase) throws {
    let talk = try Conversation.at(phase)
    talk.source.receive([1, 0, 0, 0, 0, 0, 0, 0])
    #expect(throws: StreamFault.unexpectedFrame(.preamble, phase)) { try talk.source.next() }
    guard phase != .preamble else { return }
    let targetPhase = talk.target.stream.phase
    #expect(throws: StreamFault.unexpectedFrame(.running, targetPhase)) {
      try talk.target.feed([38, 0, 0, 0, 0, 0, 0, 0])
    }
  }

  @Test("refuses a frame that may not come as soon as its header is there") func refusedByHeader() throws {
    let talk = try Conversation.at(.pages)
    #expect(throws: StreamFault.unexpectedFrame(.receipt, .pages)) {
      try talk.target.feed([10, 0, 0, 0, 32, 0, 0, 0])
    }
    talk.source.receive([37, 0, 0, 0, 16, 0, 0, 0])
    #expect(throws: StreamFault.unexpectedFrame(.ready, .pages)) { try talk.source.next() }
  }

  @Test("is that of plain, SEV and SEV-ES guests, with what each needs", arguments: SEVKind.allCases)
  func kinds(kind: SEVKind) throws {
    let talk = try Conversation.at(.done, kind: kind)
    #expect(talk.source.phase == .done && talk.target.stream.phase == .done)
    #expect(talk.source.totals == talk.target.stream.totals)
    #expect(talk.target.pages.count == 24)
    #expect(talk.source.totals.saveAreas == (kind == .sevES ? 2 : 0))
    #expect((talk.source.totals.encryptedPages > 0) == (kind != .none))
    #expect(
      talk.target.events.contains(.frame(.session(StreamSamples.session))) == (kind != .none))
    try talk.source.receivedEnd()
    try talk.target.stream.receivedEnd()
  }

  @Test("has no last round in a plan: a cancel without refusal is its end")
  func plan() throws {
    let talk = Conversation(kind: .sev)
    try talk.send(.preamble(StreamSamples.preamble(.plan)))
    try talk.advance(to: .pages)
    try talk.send(StreamSamples.batch([(1, .encrypted), (2, .plain)]))
    try talk.hear()
    #expect(talk.source.acknowledged?.pages == 2)
    try talk.send(.roundEnd(talk.source.roundSoFar))
    try talk.send(StreamSamples.batch([(1, .encrypted)], round: 1))
    var end = talk.source.roundSoFar
    end.isLast = true
    #expect(throws: StreamFault.unexpectedFrame(.roundEnd, .pages)) { try talk.source.send(.roundEnd(end)) }
    try talk.send(.cancel(Cancellation(refusal: nil, text: "the plan is made")))
    #expect(
      talk.target.events.last
        == .frame(.cancel(Cancellation(refusal: nil, text: "the plan is made"))))
    #expect(talk.source.phase == .cancelled && talk.target.stream.phase == .cancelled)
    try talk.target.stream.receivedEnd()
    let hostile = Conversation(kind: .sev)
    try hostile.send(.preamble(StreamSamples.preamble(.plan)))
    try hostile.advance(to: .pages)
    var ended = hostile.source.roundSoFar
    ended.isLast = true
    let announced = ended
    #expect(throws: StreamFault.unexpectedFrame(.roundEnd, .pages)) {
      try hostile.target.feed(SourceFrame.roundEnd(announced).encoded())
    }
  }

  @Test("drops what still comes after a cancel of its own") func crossing() throws {
    let talk = try Conversation.at(.pages)
    _ = try talk.target.stream.send(.cancel(Cancellation(refusal: .noRoom, text: "full")))
    try talk.send(StreamSamples.batch([(1, .plain)]))
    #expect(talk.target.pages.isEmpty)
    #expect(talk.target.stream.phase == .cancelled)
    #expect(throws: StreamFault.unexpectedFrame(.keepalive, .cancelled)) {
      try talk.target.stream.send(.keepalive)
    }
    try talk.target.stream.receivedEnd()
  }

  @Test("lets the target cancel until it is ready, and never after") func targetCannotCancelWhenReady() throws
  {
    let before = try Conversation.at(.end)
    _ = try before.target.stream.send(.cancel(Cancellation(refusal: .stateUnreadable, text: "")))
    let after = try Conversation.at(.receipt)
    #expect(throws: StreamFault.unexpectedFrame(.cancel, .receipt)) {
      try after.target.stream.send(.cancel(Cancellation(refusal: .stateUnreadable, text: "")))
    }
  }

  @Test("lets the source cancel until its receipt is out, and never after") func sourceCannotCancelWhenGone()
    throws
  {
    let before = try Conversation.at(.receipt)
    try before.send(.cancel(Cancellation(refusal: .migrationCancelled, text: "the operator's word")))
    #expect(before.target.stream.phase == .cancelled)
    let after = try Conversation.at(.running)
    #expect(throws: StreamFault.unexpectedFrame(.cancel, .running)) {
      try after.source.send(.cancel(Cancellation(refusal: nil, text: "")))
    }
  }

  @Test("lets a faulty stream say why it ends, and nothing else") func cancelAfterFault() throws {
    let talk = try Conversation.at(.pages)
    #expect(throws: StreamFault.unknownFrame(99)) { try talk.target.feed([99, 0, 0, 0, 0, 0, 0, 0]) }
    #expect(throws: StreamFault.unknownFrame(99)) { try talk.target.stream.send(.keepalive) }
    let fault = StreamFault.unknownFrame(99)
    let bytes = try talk.target.stream.send(
      .cancel(Cancellation(refusal: fault.refusal, text: fault.description)))
    talk.source.receive(bytes)
    var heard: [TargetFrame] = []
    while let frame = try talk.source.next() { heard.append(frame) }
    #expect(
      heard.last
        == .cancel(
          Cancellation(
            refusal: .streamDamaged, text: "Frame type 99 of the migration stream is unknown")))
    #expect(talk.target.stream.phase == .failed)
  }

  @Test("lets a target that cannot read the preamble say so") func cancelBeforeReply() throws {
    var target = TargetStream()
    target.receive(Array("GET / HTTP/1.1\r\n\r\n".utf8))
    #expect(throws: StreamFault.notAStream) { try target.next() }
    let bytes = try target.send(.cancel(Cancellation(refusal: .streamDamaged, text: "")))
    let talk = try Conversation.at(.reply)
    talk.source.receive(bytes)
    let heard = try talk.source.next()
    #expect(heard == .cancel(Cancellation(refusal: .streamDamaged, text: "")))
  }

  @Test("cut off anywhere before its end is refused at the end of the bytes", arguments: phases)
  func endsEarly(phase: StreamPhase) throws {
    let talk = try Conversation.at(phase)
    if phase == .done {
      try talk.source.receivedEnd()
    } else {
      #expect(throws: StreamFault.endedEarly(phase)) { try talk.source.receivedEnd() }
      #expect(talk.source.phase == .failed)
      #expect(throws: StreamFault.endedEarly(phase)) { try talk.source.receivedEnd() }
    }
  }
}
