import MigrationCore
import Testing

@Suite("A rate meter")
struct RateMeterTests {
  @Test("knows nothing before anything took time")
  func empty() {
    var meter = RateMeter()
    #expect(meter.perSecond == nil)
    meter.add(3, nanoseconds: 0)
    #expect(meter.perSecond == nil)
    #expect(meter.total == 3)
  }

  @Test("gives the mean of an even pace, however it is cut")
  func even() throws {
    var meter = RateMeter()
    for size: UInt64 in [1, 7, 40, 3, 100] { meter.add(size, nanoseconds: size * 2_500_000) }
    #expect(abs(try #require(meter.perSecond) - 400) < 0.001)
  }

  @Test("follows a device that slows down, and waiting forgets nothing")
  func follows() throws {
    var meter = RateMeter(halfLifeSeconds: 2)
    for _ in 0..<100 { meter.add(40, nanoseconds: 100_000_000) }
    for _ in 0..<100 { meter.add(20, nanoseconds: 100_000_000) }
    let rate = try #require(meter.perSecond)
    #expect(rate < 210 && rate >= 200)
    #expect(meter.total == 6000)
  }
}

@Suite("A dirty curve")
struct DirtyCurveTests {
  private func curve(_ samples: [(Double, Double)]) -> DirtyCurve {
    var curve = DirtyCurve(limitPages: 100_000)
    for (seconds, pages) in samples { curve.add(pages: UInt64(pages), nanoseconds: UInt64(seconds * 1e9)) }
    return curve
  }

  private let times = [0.02, 0.05, 0.1, 0.2, 0.5, 1.0]

  @Test("of nothing is nothing")
  func empty() {
    let empty = DirtyCurve(limitPages: 10)
    #expect(empty.pages(inSeconds: 100) == 0)
    #expect(!empty.hasSamples && empty.workingSetPages == nil)
    let idle = curve(times.map { ($0, 0) })
    #expect(idle.hasSamples && idle.pages(inSeconds: 1e6) == 0)
    var none = empty
    none.add(pages: 5, nanoseconds: 0)
    #expect(none == empty)
  }

  @Test("of ever new pages goes on for ever, up to all there are")
  func linear() {
    let line = curve(times.map { ($0, 1000 * $0) })
    #expect(abs(line.pages(inSeconds: 30) - 30_000) < 600)
    #expect(line.pages(inSeconds: 1000) == 100_000)
    #expect(line.workingSetPages == nil)
    #expect(abs(line.pagesPerSecond - 1000) < 20)
  }

  @Test("of a sweep through a set ends at the set")
  func sweep() throws {
    let sweep = curve(times.map { ($0, min(400, 2000 * $0)) })
    #expect(abs(sweep.pages(inSeconds: 60) - 400) < 20)
    #expect(abs(sweep.pages(inSeconds: 0.05) - 100) < 10)
    #expect(abs(Double(try #require(sweep.workingSetPages)) - 400) < 20)
  }

  @Test("of writes at random in a set ends at the set")
  func random() throws {
    // 1 - e^-x at x = 0.1, 0.25, 0.5, 1, 2.5, 5.
    let shares = [0.0952, 0.2212, 0.3935, 0.6321, 0.9179, 0.9933]
    let random = curve(zip(times, shares).map { ($0, 5000 * $1) })
    #expect(abs(random.pages(inSeconds: 60) - 5000) < 250)
    #expect(abs(random.pages(inSeconds: 0.2) - 3160) < 160)
    #expect(abs(Double(try #require(random.workingSetPages)) - 5000) < 250)
  }

  @Test("of a hot set and slow growth has both")
  func both() {
    let both = curve(times.map { ($0, 300 * min(1, $0 / 0.1) + 50 * $0) })
    #expect(abs(both.pages(inSeconds: 0.05) - 152) < 16)
    #expect(abs(both.pages(inSeconds: 10) - 800) < 80)
  }

  @Test("is not bent by a little noise")
  func noise() {
    let noisy = curve(zip(times, [1.02, 0.99, 1.01, 0.98, 1.0, 0.985]).map { ($0, 1000 * $0 * $1) })
    #expect(abs(noisy.pages(inSeconds: 50) - 50_000) < 2500)
  }

  @Test("of a guest that writes in bursts is not that of the moments between them")
  func bursts() {
    // Nothing in the first 20 ms, and then as everywhere else; without that 10,000 a second.
    let times = [0.02, 0.05, 0.1, 0.2, 0.5, 0.66]
    let curve = curve(zip(times, [0, 500, 1000, 2000, 5000, 6520]).map { ($0, $1) })
    #expect(abs(curve.pagesPerSecond - 10_000) < 2_000)
  }

  @Test("believes what was measured last about a time")
  func replaces() {
    var changed = curve(times.map { ($0, 1000 * $0) })
    for seconds in times { changed.add(pages: UInt64(200 * seconds), nanoseconds: UInt64(seconds * 1e9)) }
    #expect(abs(changed.pagesPerSecond - 200) < 10)
  }
}
