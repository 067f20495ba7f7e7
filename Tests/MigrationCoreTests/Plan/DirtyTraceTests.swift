import Testing

@testable import MigrationCore

@Suite("What a guest wrote in short times")
struct DirtyTraceTests {
  /// 10 ms of 100 pages, 10 ms of none, four times.
  private static let bursts: DirtyTrace = {
    var trace = DirtyTrace()
    for _ in 0..<4 {
      trace.add(pages: 100, nanoseconds: 10_000_000)
      trace.add(pages: 0, nanoseconds: 10_000_000)
    }
    return trace
  }()

  @Test(
    "is told by where one looks",
    arguments: [
      (0.0, 0.01, 100.0, 100.0), (0.01, 0.01, 0, 0), (0.005, 0.01, 50, 50), (0, 0.02, 100, 100),
      (0.015, 0.02, 100, 100), (0.075, 0.01, 50, 50), (0.085, 0.001, 10, 10), (0, 0, 0, 0),
    ])
  func places(_ start: Double, _ duration: Double, _ sum: Double, _ most: Double) throws {
    let seen = try #require(Self.bursts.pages(from: start, seconds: duration))
    #expect(abs(seen.sum - sum) < 1e-6)
    #expect(abs(seen.most - most) < 1e-6)
  }

  @Test("says nothing of times that are longer than a fourth of it, or when nothing was seen")
  func tooLong() {
    #expect(Self.bursts.pages(from: 0, seconds: 0.021) == nil)
    #expect(DirtyTrace().pages(from: 0, seconds: 0.001) == nil)
    #expect(Self.bursts.pages(from: 0, seconds: .infinity) == nil)
  }

  @Test("has no window without a time")
  func noTime() {
    var trace = DirtyTrace()
    trace.add(pages: 5, nanoseconds: 0)
    #expect(trace.seconds == 0)
    #expect(trace == DirtyTrace())
  }

  @Test("counts no page twice that a guest writes again and again: the curve has them once")
  func again() {
    var curve = DirtyCurve(limitPages: 1000)
    for milliseconds: UInt64 in [20, 50, 100, 200] {
      curve.add(pages: 30, nanoseconds: milliseconds * 1_000_000)
    }
    var facts = MigrationFacts(pages: PageCounts(plain: 1000), rates: TransferRates(), dirty: curve)
    for _ in 0..<40 { facts.trace.add(pages: 30, nanoseconds: 10_000_000) }
    facts.dirtyEncryptedShare = 0
    #expect(facts.dirtied(from: 0.003, seconds: 0.1) == PageCounts(plain: 30))
    #expect(facts.dirtied(from: 0.003, seconds: 0.001) == PageCounts(plain: 3))
  }

  @Test("has in every time the pages that were written in all of them")
  func always() {
    var facts = MigrationFacts(
      pages: PageCounts(encrypted: 1000), rates: TransferRates(), dirty: DirtyCurve(limitPages: 1000))
    facts.dirty.add(pages: 60, nanoseconds: 400_000_000)
    for number in 0..<40 { facts.trace.add(pages: number == 20 ? 60 : 3, nanoseconds: 10_000_000) }
    facts.alwaysDirty = PageCounts(encrypted: 3)
    #expect(facts.dirtied(from: 0.05, seconds: 0.000_5) == PageCounts(encrypted: 3))
    #expect(facts.dirtied(from: 0.2, seconds: 0.01) == PageCounts(encrypted: 60))
  }
}
