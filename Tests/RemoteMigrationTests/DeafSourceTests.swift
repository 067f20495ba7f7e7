import BatonWire
import LinuxOS
import MigrationCore
import Testing

@testable import RemoteMigration

@Suite("A source that sends and reads nothing")
struct DeafSourceTests {
  /// Batches of one page, each of which costs the target an acknowledgement: round after round.
  private struct Flood: ~Copyable {
    var batch = PageBatch(pages: 1)
    var round: UInt32 = 0
    var page = 0
    var batches = 0

    mutating func next(_ source: HandmadeSource) throws -> [UInt8] {
      let count = source.target.ram.pageCount
      guard page < count else {
        page = 0
        defer { round += 1 }
        return try source.stream.send(
          .roundEnd(RoundEnd(round: round, batches: UInt64(count), pages: UInt64(count), isLast: false)))
      }
      batch.clear()
      batch.appendZero(source.target.ram.frame(ofPage: page))
      try source.stream.seal(&batch)
      page += 1
      batches += 1
      return batch.bytes
    }
  }

  @Test("is not listened to any more when what waits for it is more than it may be, and is given up")
  func bounded() throws {
    let source = try HandmadeSource(silenceNanoseconds: 400_000_000)
    try source.incoming.accept(source.target, .withoutEncryption())
    guard case .target = try source.next() else { throw MigrationFailure(.streamDamaged, "no answer") }
    var flood = Flood()
    var rest: ArraySlice<UInt8> = []
    var failure: MigrationFailure?
    let deadline = MonotonicClock.now() + 60_000_000_000
    while failure == nil, MonotonicClock.now() < deadline, flood.batches < 200_000 {
      var isFull = false
      while !isFull {
        if rest.isEmpty { rest = try flood.next(source)[...] }
        let sent = try source.socket.send(rest)
        isFull = sent == 0
        rest = rest.dropFirst(sent)
      }
      do throws(MigrationFailure) { _ = try source.incoming.step(for: 1_000_000) } catch { failure = error }
    }
    #expect(failure?.refusal == .linkLost)
    #expect(failure?.text.contains("took nothing") == true, "\(String(describing: failure))")
    let batches = flood.batches
    #expect(batches < 200_000)
  }
}
