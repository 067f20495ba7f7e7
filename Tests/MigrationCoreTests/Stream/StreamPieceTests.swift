import BatonWire
import MigrationCore
import Testing

@Suite("The bytes of a migration stream") struct StreamPieceTests {
  /// The whole stream of a source, and what a target makes of it in one piece.
  private static func recorded(_ kind: SEVKind) throws -> (bytes: [UInt8], talk: Conversation) {
    let talk = Conversation(kind: kind)
    try talk.send(.preamble(StreamSamples.preamble()))
    try talk.advance(to: .pages)
    // Two rounds and several batches.
    try talk.send(StreamSamples.batch(Array(talk.allPages.prefix(10))))
    try talk.send(.keepalive)
    try talk.send(StreamSamples.batch(Array(talk.allPages.dropFirst(10))))
    try talk.send(.roundEnd(talk.source.roundSoFar))
    try talk.send(StreamSamples.batch([(4, .plain), (6, .plain)], round: 1))
    var end = talk.source.roundSoFar
    end.isLast = true
    try talk.send(.roundEnd(end))
    try talk.advance(to: .done)
    return (talk.sent.flatMap { $0 }, talk)
  }

  @Test("mean the same in whatever pieces they come", arguments: SEVKind.allCases) func pieces(kind: SEVKind)
    throws
  {
    let (bytes, talk) = try Self.recorded(kind)
    var generator = SystemRandomNumberGenerator()
    for longest in [1, 7, 8, 9, 100, 4_096, 30_000, bytes.count] {
      let target = ReceivingEnd(kind: kind)
      var rest = bytes[...]
      while !rest.isEmpty {
        let piece = longest == 1 ? 1 : Int.random(in: 1...longest, using: &generator)
        try target.feed(Array(rest.prefix(piece)))
        rest = rest.dropFirst(piece)
      }
      #expect(target.events == talk.target.events)
      #expect(target.pages == talk.target.pages)
      #expect(target.answers == talk.target.answers)
      #expect(target.stream.phase == .done)
    }
  }

  @Test("of the target mean the same in whatever pieces they come") func targetPieces() throws {
    let (_, talk) = try Self.recorded(.sevES)
    // Only answers that follow from what the source has sent may be in one piece.
    let again = Conversation(kind: .sevES)
    var heard: [TargetFrame] = []
    again.source.receive([])
    _ = try again.source.send(.preamble(StreamSamples.preamble()))
    for byte in talk.target.answers[0] {
      again.source.receive([byte])
      while let frame = try again.source.next() { heard.append(frame) }
    }
    #expect(heard == [.preambleReply(StreamSamples.reply)])
  }

  @Test("come to lent room that is never more than the frame under way needs and a little")
  func lentRoom() throws {
    let (bytes, talk) = try Self.recorded(.none)
    var stream = TargetStream()
    var position = 0
    var widest = 0
    var pages = 0
    while position < bytes.count {
      stream.receive { (room: inout OutputSpan<UInt8>) -> Void in
        widest = max(widest, room.freeCapacity)
        while room.freeCapacity > 0, position < bytes.count {
          room.append(bytes[position])
          position += 1
        }
      }
      while let event = try stream.next() {
        switch event {
        case .batch: while stream.takePage({ _, _, _ in true }) == true { pages += 1 }
        case .frame(.preamble): _ = try stream.send(stream.reply(host: "", build: ""))
        case .frame(.manifest): _ = try stream.send(.target(StreamSamples.target(.none)))
        case .frame(.end):
          _ = try stream.send(.ready(RestoreTimes(finishNanoseconds: 0, restoreNanoseconds: 0)))
        case .frame: break
        }
      }
    }
    #expect(pages == 26)
    #expect(stream.phase == .running)
    #expect(widest <= (talk.sent.map(\.count).max() ?? 0) + 16_384 + 8)
  }

  @Test("cut off anywhere end with a named fault, and nothing of a cut batch is used") func cutAnywhere()
    throws
  {
    let (bytes, talk) = try Self.recorded(.sevES)
    var boundaries: Set<Int> = [0]
    for frame in talk.sent { boundaries.insert((boundaries.max() ?? 0) + frame.count) }
    let everywhere = stride(from: 0, to: bytes.count, by: 997)
    for cut in Set(everywhere).union(boundaries).union(boundaries.map { $0 + 5 }) where cut < bytes.count {
      let target = ReceivingEnd(kind: .sevES)
      try target.feed(Array(bytes[..<cut]))
      do throws(StreamFault) {
        try target.stream.receivedEnd()
        Issue.record("a stream of \(cut) bytes was taken as whole")
      } catch {
        switch error {
        case .endedEarly: #expect(boundaries.contains(cut))
        case .truncated: #expect(!boundaries.contains(cut))
        default: Issue.record("\(cut) bytes: \(error)")
        }
      }
      #expect(target.hasOnlyPages(of: talk.target))
    }
  }

  @Test("with one byte changed anywhere in a batch bring no page that was not sent") func mutations() throws {
    let (bytes, talk) = try Self.recorded(.none)
    var generator = SystemRandomNumberGenerator()
    var faults = 0
    for _ in 0..<600 {
      var changed = bytes
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        changed[Int.random(in: 0..<changed.count, using: &generator)] = .random(
          in: .min ... .max, using: &generator)
      }
      guard changed != bytes else { continue }
      let target = ReceivingEnd(kind: .none)
      do throws(StreamFault) {
        try target.feed(changed)
        try target.stream.receivedEnd()
      } catch { faults += 1 }
      #expect(target.hasOnlyPages(of: talk.target))
    }
    #expect(faults > 500)
  }

  @Test("that are left out, doubled or moved in blocks bring no page that was not sent") func blocks() throws
  {
    let (bytes, talk) = try Self.recorded(.none)
    var generator = SystemRandomNumberGenerator()
    for round in 0..<200 {
      var changed = bytes
      let length = Int.random(in: 1...20_000, using: &generator)
      let start = Int.random(in: 0...(changed.count - length), using: &generator)
      let block = Array(changed[start..<(start + length)])
      switch round % 3 {
      case 0: changed.removeSubrange(start..<(start + length))
      case 1: changed.insert(contentsOf: block, at: start)
      default:
        changed.removeSubrange(start..<(start + length))
        changed.insert(contentsOf: block, at: Int.random(in: 0...changed.count, using: &generator))
      }
      guard changed != bytes else { continue }
      let target = ReceivingEnd(kind: .none)
      var isRefused = false
      do throws(StreamFault) {
        try target.feed(changed)
        try target.stream.receivedEnd()
      } catch { isRefused = true }
      #expect(isRefused)
      #expect(target.hasOnlyPages(of: talk.target))
    }
  }
}
