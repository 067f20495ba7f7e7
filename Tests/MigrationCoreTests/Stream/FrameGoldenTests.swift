import BatonWire
import MigrationCore
import Testing

@Suite("The frames of the migration stream") struct FrameGoldenTests {
  /// Every frame as this implementation writes it; the order allows each where it stands.
  private static func written() throws -> [String: [UInt8]] {
    var frames: [String: [UInt8]] = [:]
    let talk = Conversation()
    frames["preamble"] = try talk.source.send(.preamble(StreamSamples.preamble()))
    try talk.target.feed(frames["preamble"] ?? [])
    try talk.hear()
    frames["manifest"] = try talk.source.send(.manifest(StreamSamples.offer(.sevES)))
    try talk.target.feed(frames["manifest"] ?? [])
    try talk.hear()
    frames["session"] = try talk.source.send(.session(StreamSamples.session))
    try talk.target.feed(frames["session"] ?? [])
    try talk.hear()
    var zeros = StreamSamples.batch([(0, .zero), (0x100007, .zero)])
    try talk.source.seal(&zeros)
    frames["batch-zeros"] = zeros.bytes
    var mixed = StreamSamples.batch([(3, .encrypted), (0x100000, .plain), (5, .zero)])
    try talk.source.seal(&mixed)
    frames["batch-tag"] = Array(mixed.bytes.suffix(16))
    frames["batch-digest"] = Digest.sha256(mixed.bytes)
    var end = talk.source.roundSoFar
    end.isLast = true
    frames["roundEnd"] = try talk.source.send(.roundEnd(end))
    frames["sharedRegions"] = try talk.source.send(.sharedRegions(StreamSamples.regions))
    _ = try talk.source.send(.saveArea(StreamSamples.saveArea(0)))
    frames["saveArea"] = try talk.source.send(.saveArea(StreamSamples.saveArea(1)))
    let chunks = StreamChunks.cut(StreamSamples.state, by: 4)
    _ = try talk.source.send(.state(chunks[0]))
    frames["state"] = try talk.source.send(
      .state(StateChunk(offset: 4, total: 9, bytes: Array("state".utf8))))
    frames["end"] = try talk.source.send(.end(talk.source.totals))
    frames["keepalive"] = try talk.source.send(.keepalive)
    frames["cancel"] = try talk.source.send(
      .cancel(Cancellation(refusal: .streamDamaged, text: "the seal does not fit")))

    let whole = try Conversation.at(.done)
    frames["preambleReply"] = whole.target.answers.first
    frames["target"] = whole.target.answers[1]
    frames["sessionAccepted"] = whole.target.answers[2]
    frames["receipt"] = whole.sent.last
    frames["running"] = whole.target.answers.last
    frames["ready"] = whole.target.answers.dropLast().last
    let plain = try Conversation.at(.pages, kind: .none)
    frames["target-plain"] = plain.target.answers[1]
    frames["cancel-plan"] = try plain.source.send(.cancel(Cancellation(refusal: nil, text: "")))
    frames["lock"] = StreamSamples.lock.bytes
    let batches = try Conversation.at(.pages)
    try batches.send(StreamSamples.batch([(0, .zero), (1, .zero)]))
    try batches.target.feed(try batches.source.send(.keepalive))
    try batches.send(StreamSamples.batch([(2, .zero), (3, .zero), (4, .zero)]))
    frames["acknowledged"] = try batches.target.stream.send(
      .acknowledged(Acknowledgement(sequence: 1, pages: 5, deviceNanoseconds: 1_000_000)))
    return frames
  }

  @Test("are, byte for byte, what another implementation writes from the description alone")
  func goldenBytes() throws {
    let written = try Self.written()
    for (name, hexadecimal) in StreamGoldens.frames {
      guard name != "end" else { continue }
      #expect(written[name].map(Hexadecimal.text(of:)) == hexadecimal, "\(name)")
    }
    // The end counts what was really sent; all but its byte count is in the other implementation's.
    #expect(written["end"]?.dropLast(8) == StreamGoldens.bytes("end").dropLast(8))
    #expect(Set(written.keys) == Set(StreamGoldens.frames.map(\.0)))
  }

  @Test("of every type are among the goldens")
  func goldensAreComplete() {
    let types = Set(
      StreamGoldens.frames.compactMap { name, _ -> FrameType? in
        let bytes = StreamGoldens.bytes(name)
        return bytes.count < 8 ? nil : FrameType(rawValue: UInt16(bytes[0]) | UInt16(bytes[1]) << 8)
      })
    #expect(types.isSuperset(of: FrameType.allCases))
  }

  @Test("are read by the other end as what was sent")
  func roundTrips() throws {
    let talk = try Conversation.at(.done)
    #expect(
      talk.target.events == [
        .frame(.preamble(StreamSamples.preamble())), .frame(.manifest(StreamSamples.offer(.sevES))),
        .frame(.session(StreamSamples.session)),
        talk.target.events[3],
        .frame(.roundEnd(RoundEnd(round: 0, batches: 1, pages: 24, isLast: true))),
        .frame(.sharedRegions(StreamSamples.regions)), .frame(.saveArea(StreamSamples.saveArea(0))),
        .frame(.saveArea(StreamSamples.saveArea(1))),
        .frame(.state(StateChunk(offset: 0, total: 9, bytes: Array("all ".utf8)))),
        .frame(.state(StateChunk(offset: 4, total: 9, bytes: Array("stat".utf8)))),
        .frame(.state(StateChunk(offset: 8, total: 9, bytes: Array("e".utf8)))),
        talk.target.events[11], .frame(.receipt(StreamSamples.receipt)),
      ])
    #expect(
      talk.heard == [
        .preambleReply(StreamSamples.reply), .target(StreamSamples.target(.sevES)), .sessionAccepted,
        .acknowledged(Acknowledgement(sequence: 0, pages: 24, deviceNanoseconds: 24)),
        .ready(RestoreTimes(finishNanoseconds: 2_000, restoreNanoseconds: 3_000)),
        .running(FirstInstruction(epoch: 8, nanoseconds: 1_700_000_000_000_000_000)),
      ])
  }

  @Test("never say a receipt or a key in text")
  func secrets() {
    let texts = [
      "\(StreamSamples.key)", String(reflecting: StreamSamples.key),
      "\(SourceFrame.receipt(StreamSamples.receipt))", "\(SourceFrame.preamble(StreamSamples.preamble()))",
    ]
    for text in texts {
      #expect(!text.contains("64, 65, 66"), "\(text)")
      #expect(!text.contains("128, 129") && !text.contains("8081"), "\(text)")
    }
  }
}
