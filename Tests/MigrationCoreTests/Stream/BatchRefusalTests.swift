import BatonWire
import Testing

@testable import MigrationCore

@Suite("A batch of pages") struct BatchRefusalTests {
  /// Four sealed batches of one page each, none of them delivered.
  private static func batches(_ talk: Conversation) throws -> [[UInt8]] {
    try (0..<4).map { number in
      var batch = StreamSamples.batch([(UInt64(number), .plain)])
      try talk.source.seal(&batch)
      return batch.bytes
    }
  }

  private static func fault(_ talk: Conversation, _ frames: [UInt8]...) -> StreamFault? {
    do throws(StreamFault) {
      for frame in frames { try talk.deliver(frame) }
      return nil
    } catch { return error }
  }

  /// A batch sealed by a source that does not keep the rules.
  ///
  /// - Parameter change: Changes the frame before it is sealed again.
  private static func sealed(
    _ pages: [(UInt64, PageKind)], sequence: UInt64 = 0, round: UInt32 = 0,
    _ change: (inout [UInt8]) -> Void = { _ in }
  ) -> [UInt8] {
    let seal = BatchSeal(StreamSamples.key)
    var batch = StreamSamples.batch(pages)
    batch.close(sequence: sequence, round: round, with: seal)
    var bytes = Array(batch.bytes.dropLast(16))
    change(&bytes)
    return bytes + seal.tag(of: bytes[...], sequence: sequence)
  }

  @Test("comes to the target as it was filled, page by page") func arrives() throws {
    let talk = try Conversation.at(.pages)
    try talk.send(StreamSamples.batch([(7, .plain), (0x100003, .encrypted), (2, .zero)]))
    #expect(talk.target.pages.count == 3)
    #expect(talk.target.pages[7] == StreamSamples.page(7))
    #expect(
      talk.target.pages[0x100003]
        == StreamSamples.packetHeader(0x100003) + StreamSamples.page(0x100003))
    #expect(talk.target.pages[2] == Array(repeating: 0, count: 4_096))
    #expect(talk.target.events.last == .batch(BatchInfo(sequence: 0, round: 0, pages: 3)))
    try talk.hear()
    #expect(talk.source.batchesUnacknowledged == 0)
  }

  @Test("is refused as damaged when any one bit of its pages or its seal is flipped")
  func flippedBits() throws {
    let batch = try Self.batches(Conversation.at(.pages))[0]
    var generator = SystemRandomNumberGenerator()
    for _ in 0..<200 {
      var damaged = batch
      let position = Int.random(in: 32..<batch.count, using: &generator)
      damaged[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      let talk = try Conversation.at(.pages)
      #expect(Self.fault(talk, damaged) == .batchDamaged(sequence: 0), "byte \(position)")
      #expect(talk.target.pages.isEmpty)
    }
  }

  @Test("is refused when any one bit of its headers is flipped, and nothing of it is used")
  func flippedHeaders() throws {
    let batch = try Self.batches(Conversation.at(.pages))[0]
    for position in 0..<32 {
      for bit in 0..<8 {
        var damaged = batch
        damaged[position] ^= 1 << UInt8(bit)
        let talk = try Conversation.at(.pages)
        // A changed length lets the target wait for bytes that do not come.
        let fault = Self.fault(talk, damaged) ?? Self.faultAtEnd(talk)
        #expect(fault != nil, "byte \(position), bit \(bit)")
        #expect(talk.target.pages.isEmpty)
      }
    }
  }

  private static func faultAtEnd(_ talk: Conversation) -> StreamFault? {
    do throws(StreamFault) {
      try talk.target.stream.receivedEnd()
      return nil
    } catch { return error }
  }

  @Test("is refused as damaged when two of its pages are exchanged") func exchangedPages() throws {
    let talk = try Conversation.at(.pages)
    var batch = StreamSamples.batch([(1, .plain), (2, .plain)])
    try talk.source.seal(&batch)
    var bytes = batch.bytes
    let first = 48..<(48 + 4_096)
    let second = (48 + 4_112)..<(48 + 4_112 + 4_096)
    let saved = Array(bytes[first])
    bytes.replaceSubrange(first, with: Array(bytes[second]))
    bytes.replaceSubrange(second, with: saved)
    #expect(Self.fault(talk, bytes) == .batchDamaged(sequence: 0))
  }

  @Test("is refused as swapped when it comes in its neighbour's place") func swapped() throws {
    let talk = try Conversation.at(.pages)
    let batches = try Self.batches(talk)
    #expect(Self.fault(talk, batches[0], batches[2], batches[1]) == .batchesSwapped(1, 2))
    #expect(talk.target.pages.keys.sorted() == [0])
  }

  @Test("is refused as missing when the next one comes in its place") func missing() throws {
    let talk = try Conversation.at(.pages)
    let batches = try Self.batches(talk)
    #expect(
      Self.fault(talk, batches[0], batches[2], batches[3]) == .batchMissing(expected: 1, received: 2))
    #expect(talk.target.pages.keys.sorted() == [0])
  }

  @Test("is refused as missing when anything but itself comes behind the next one")
  func missingBeforeOthers() throws {
    let talk = try Conversation.at(.pages)
    let batches = try Self.batches(talk)
    let keepalive = try talk.source.send(.keepalive)
    #expect(Self.fault(talk, batches[1], keepalive) == .batchMissing(expected: 0, received: 1))
    let ended = try Conversation.at(.pages)
    #expect(Self.fault(ended, batches[2]) == nil)
    #expect(throws: StreamFault.batchMissing(expected: 0, received: 2)) {
      try ended.target.stream.receivedEnd()
    }
    let damaged = try Conversation.at(.pages)
    var wrong = batches[0]
    wrong[100] ^= 1
    #expect(Self.fault(damaged, batches[1], wrong) == .batchMissing(expected: 0, received: 1))
  }

  @Test("is refused as replayed when it comes again") func replayed() throws {
    let talk = try Conversation.at(.pages)
    let batches = try Self.batches(talk)
    #expect(
      Self.fault(talk, batches[0], batches[1], batches[0]) == .batchReplayed(sequence: 0, expected: 2))
  }

  @Test("is refused as truncated when its frame ends before it does") func truncated() throws {
    let batch = try Self.batches(Conversation.at(.pages))[0]
    for cut in [1, 16, 100, 4_096, batch.count - 8 - 41] {
      let talk = try Conversation.at(.pages)
      var shorter = Array(batch.dropLast(cut))
      let length = UInt32(shorter.count - 8)
      for index in 0..<4 { shorter[4 + index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
      #expect(
        Self.fault(talk, shorter)
          == .batchTruncated(sequence: 0, announced: batch.count - 8, received: Int(length)))
    }
    let talk = try Conversation.at(.pages)
    #expect(Self.fault(talk, Array(batch.dropLast(100))) == nil)
    #expect(throws: StreamFault.truncated(.batch, missing: 100)) {
      try talk.target.stream.receivedEnd()
    }
  }

  @Test("that has no room for its own header is refused") func tooShort() throws {
    let talk = try Conversation.at(.pages)
    #expect(
      Self.fault(talk, [4, 0, 0, 0, 39, 0, 0, 0] + Array(repeating: 0, count: 39))
        == .malformed(.batch, .truncated(field: "entries")))
  }

  @Test("of another migration is refused as damaged") func foreign() throws {
    let talk = try Conversation.at(.pages)
    var batch = StreamSamples.batch([(1, .plain)])
    batch.close(sequence: 0, round: 0, with: BatchSeal(BatchKey()))
    #expect(Self.fault(talk, batch.bytes) == .batchDamaged(sequence: 0))
  }

  @Test("is refused when it brings a page a second time in its round, in one batch or in two")
  func repeatedPage() throws {
    let inOne = try Conversation.at(.pages)
    #expect(
      Self.fault(inOne, Self.sealed([(5, .plain), (5, .zero)])) == .pageRepeated(frame: 5, round: 0))
    let inTwo = try Conversation.at(.pages)
    #expect(
      Self.fault(
        inTwo, Self.sealed([(5, .plain)]), Self.sealed([(6, .plain), (5, .plain)], sequence: 1))
        == .pageRepeated(frame: 5, round: 0))
    #expect(inTwo.target.pages.keys.sorted() == [5], "nothing of a refused batch is used")
  }

  @Test("of the next round may bring the same pages again, and the newer ones count") func nextRound() throws
  {
    let talk = try Conversation.at(.pages)
    try talk.send(StreamSamples.batch([(5, .plain)]))
    try talk.send(.roundEnd(talk.source.roundSoFar))
    try talk.send(StreamSamples.batch([(5, .plain)], round: 1))
    #expect(talk.target.pages[5] == StreamSamples.page(5, round: 1))
    #expect(talk.target.events.last == .batch(BatchInfo(sequence: 1, round: 1, pages: 1)))
  }

  @Test("of another round is refused") func wrongRound() throws {
    let talk = try Conversation.at(.pages)
    #expect(
      Self.fault(talk, Self.sealed([(1, .plain)], round: 1)) == .wrongRound(expected: 0, received: 1))
  }

  @Test(
    "is refused when it brings a page that is not in the guest's RAM",
    arguments: [16, 0xFFFFF, 0x100008, UInt64.max])
  func outsideRAM(frame: UInt64) throws {
    let talk = try Conversation.at(.pages)
    #expect(Self.fault(talk, Self.sealed([(1, .plain), (frame, .zero)])) == .pageOutsideRAM(frame: frame))
    #expect(talk.target.pages.isEmpty)
  }

  @Test("with an encrypted page is refused for a plain guest, by the source too") func encryptedForPlain()
    throws
  {
    let talk = try Conversation.at(.pages, kind: .none)
    #expect(
      Self.fault(talk, Self.sealed([(3, .encrypted)])) == .pageNotAllowed(frame: 3, .encrypted))
    var batch = StreamSamples.batch([(1, .plain), (3, .encrypted)])
    #expect(throws: StreamFault.pageNotAllowed(frame: 3, .encrypted)) { try talk.source.seal(&batch) }
  }

  @Test("is refused for an unknown kind, no pages, too many pages, a wrong length and what follows its pages")
  func contents() throws {
    func set(_ value: UInt32, at offset: Int) -> (inout [UInt8]) -> Void {
      { bytes in
        for index in 0..<4 { bytes[offset + index] = UInt8(truncatingIfNeeded: value >> UInt32(8 * index)) }
      }
    }
    let one: [(UInt64, PageKind)] = [(3, .plain)]
    let cases: [([UInt8], StreamFault)] = [
      (Self.sealed(one, set(3, at: 40)), .unknownPageKind(frame: 3, kind: 3)),
      (Self.sealed(one, set(0, at: 20)), .batchEmpty(sequence: 0)),
      (Self.sealed(one, set(257, at: 20)), .tooManyPages(sequence: 0, pages: 257)),
      (Self.sealed(one, set(2, at: 20)), .malformed(.batch, .truncated(field: "entry"))),
      (Self.sealed(one, set(4_095, at: 44)), .malformed(.batch, .badValue(field: "page length"))),
      (
        Self.sealed([(3, .zero)]) { bytes in
          set(1, at: 40)(&bytes)
          set(4_096, at: 44)(&bytes)
        }, .malformed(.batch, .truncated(field: "page"))
      ),
      (
        Self.sealed([(3, .zero), (4, .zero)], set(1, at: 20)), .malformed(.batch, .trailingBytes(16))
      ),
      (Self.sealed(one, set(1, at: 28)), .malformed(.batch, .badValue(field: "reserved"))),
    ]
    for (bytes, expected) in cases {
      let talk = try Conversation.at(.pages)
      #expect(Self.fault(talk, bytes) == expected)
      #expect(talk.target.pages.isEmpty)
    }
  }

  @Test("is as it was before when filling a page fails") func failedFill() throws {
    struct DeviceFailed: Error {}
    let talk = try Conversation.at(.pages)
    var batch = PageBatch(pages: 2)
    batch.appendPlain(1) { StreamSamples.append(StreamSamples.page(1), to: &$0) }
    let before = batch.bytes
    #expect(throws: DeviceFailed.self) {
      try batch.appendEncrypted(2) { (bytes: inout OutputSpan<UInt8>) throws(DeviceFailed) in
        bytes.append(9)
        throw DeviceFailed()
      }
    }
    let isUnchanged = batch.bytes == before && batch.count == 1 && !batch.isFull
    #expect(isUnchanged)
    batch.appendZero(4)
    let isFull = batch.isFull
    #expect(isFull)
    try talk.send(batch)
    #expect(talk.target.pages.keys.sorted() == [1, 4])
  }

  @Test("can be cleared and filled again") func cleared() throws {
    let talk = try Conversation.at(.pages)
    var batch = StreamSamples.batch([(1, .plain), (2, .encrypted), (3, .zero)])
    try talk.source.seal(&batch)
    let wasSealed = batch.isSealed
    #expect(wasSealed)
    try talk.deliver(batch.bytes)
    batch.clear()
    let isClear = batch.isEmpty && !batch.isSealed
    #expect(isClear)
    batch.appendZero(4)
    try talk.source.seal(&batch)
    try talk.deliver(batch.bytes)
    #expect(talk.source.totals == talk.target.stream.totals)
    #expect(talk.source.totals.zeroPages == 2 && talk.source.totals.encryptedPages == 1)
  }

  @Test("of 256 encrypted pages is the longest frame and fits") func longest() throws {
    var batch = PageBatch()
    while !batch.isFull {
      batch.appendEncrypted(UInt64(batch.count)) { $0.append(repeating: 7, count: 52 + 4_096) }
    }
    batch.close(sequence: 0, round: 0, with: BatchSeal(StreamSamples.key))
    let (bytes, pages) = (batch.bytes.count, batch.count)
    #expect(bytes == 8 + FrameType.batch.maximumPayload)
    #expect(pages == 256)
  }

  @Test("leaves its other pages when taking one fails") func failedTake() throws {
    struct DeviceFailed: Error {}
    let talk = try Conversation.at(.pages)
    var batch = StreamSamples.batch([(1, .plain), (2, .plain)])
    try talk.source.seal(&batch)
    talk.target.stream.receive(batch.bytes)
    _ = try talk.target.stream.next()
    var failures = 0
    do throws(DeviceFailed) {
      _ = try talk.target.stream.takePage { (_, _, _) throws(DeviceFailed) -> Void in throw DeviceFailed() }
    } catch { failures += 1 }
    #expect(failures == 1)
    #expect(talk.target.stream.pagesToTake == 2)
    #expect(talk.target.stream.acknowledgement(deviceNanoseconds: 1) == nil)
    var taken: [UInt64] = []
    while let frame = talk.target.stream.takePage({ page, _, _ in page.frame }) { taken.append(frame) }
    #expect(taken == [1, 2])
    #expect(
      talk.target.stream.acknowledgement(deviceNanoseconds: 1)
        == .acknowledged(Acknowledgement(sequence: 0, pages: 2, deviceNanoseconds: 1)))
  }
}
