import MigrationCore
import Testing

@Suite("What is measured of a path")
struct PaceMetersTests {
  private let origin: UInt64 = 5_000_000_000

  private func acknowledged(_ sequence: UInt64, device: UInt64 = 0) -> Acknowledgement {
    Acknowledgement(sequence: sequence, pages: 0, deviceNanoseconds: device)
  }

  /// A SEV guest over 200 ms there and back: milliseconds since the first batch, encrypted pages in the target's RAM,
  /// milliseconds that the target's device had worked. Both ends shared two cores.
  static let far: [(milliseconds: UInt64, pages: UInt64, device: UInt64)] = [
    (210, 16, 2), (420, 64, 22), (621, 80, 31), (837, 112, 57), (1026, 128, 62),
    (1367, 178, 105), (1486, 284, 179), (1745, 332, 190), (1847, 396, 216), (1930, 541, 248),
    (2006, 664, 314), (2105, 826, 408), (2204, 890, 500), (2310, 1066, 600), (2407, 1240, 695),
    (2501, 1417, 785), (2606, 1625, 881), (2701, 1831, 974), (2802, 2034, 1064), (2911, 2285, 1164),
    (2959, 2421, 1211),
  ]

  private func farPace() -> PaceMeters {
    var pace = PaceMeters()
    var before: UInt64 = 0
    for (sequence, row) in Self.far.enumerated() {
      let now = origin + row.milliseconds * 1_000_000
      pace.sent(
        PageCounts(encrypted: row.pages - before), sequence: UInt64(sequence),
        began: sequence == 0 ? origin : now - 300_000_000, made: now - 290_000_000)
      pace.acknowledged(acknowledged(UInt64(sequence), device: row.device * 1_000_000), now: now)
      before = row.pages
    }
    return pace
  }

  @Test("has the way from pages that go alone, which tell nothing of the pace")
  func echoes() throws {
    var pace = PaceMeters()
    pace.asked = origin
    pace.answered(now: origin + 900_000)
    for number: UInt64 in 0..<10 {
      let made = origin + (1 + number) * 10_000_000
      pace.sent(PageCounts(plain: 100), sequence: number, began: made - 10_000_000, made: made)
      pace.acknowledged(acknowledged(number, device: (1 + number) * 2_000_000), now: made + 10_000_000)
    }
    let rate = try #require(pace.plainPagesPerSecond)
    #expect(pace.roundTripNanoseconds == 900_000)
    for number: UInt64 in 10..<18 {
      let made = origin + number * 100_000_000
      pace.sent(PageCounts(plain: 1), sequence: number, began: made, made: made, isEcho: true)
      // What the target's device took is no way: 100 microseconds of these.
      pace.acknowledged(
        acknowledged(number, device: 20_000_000 + (number - 9) * 100_000), now: made + 400_000)
    }
    #expect(pace.roundTripNanoseconds == 300_000)
    #expect(pace.plainPagesPerSecond == rate)
  }

  @Test("is the pace that a connection comes to, not that of its slow begin")
  func far() throws {
    let pace = farPace()
    // It was to move 2,213 a second in the long run. Of all this it is 785.
    let rate = try #require(pace.encryptedPagesPerSecond)
    #expect(rate > 1700 && rate < 2300, "\(rate)")
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = rate
    let start = pace.startSeconds(rates)
    #expect(start > 1.2 && start < 2, "\(start)")
    #expect(try #require(pace.targetDevicePagesPerSecond) > rate)
  }

  @Test("does not make a plan of 33.5 s out of what took 15.3, as the mean pace would")
  func farPlan() throws {
    let pace = farPace()
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = pace.encryptedPagesPerSecond
    var curve = DirtyCurve(limitPages: 32_768)
    curve.add(pages: 515, nanoseconds: 3_000_000_000)
    var facts = MigrationFacts(pages: PageCounts(encrypted: 32_735, plain: 33), rates: rates, dirty: curve)
    facts.startSeconds = pace.startSeconds(rates)
    var limits = MigrationLimits()
    limits.maxPauseSeconds = 30
    // The devices were disturbed in these three seconds, so not closer than this.
    #expect(MigrationPlan(facts, limits).seconds < 23)
  }

  @Test("has the shortest round trip of all answers, for one that waited for something says too much")
  func roundTrip() {
    var pace = PaceMeters()
    #expect(pace.roundTripNanoseconds == 0)
    pace.asked = origin
    pace.answered(now: origin + 9_901_000)
    pace.asked = origin + 20_000_000
    pace.answered(now: origin + 20_700_000)
    #expect(pace.roundTripNanoseconds == 700_000)
    pace.asked = origin + 30_000_000
    pace.answered(now: origin + 33_000_000)
    #expect(pace.roundTripNanoseconds == 700_000)
    // A batch of which the device worked 40 ms.
    pace.sent(PageCounts(encrypted: 16), sequence: 0, began: origin + 60_000_000, made: origin + 100_000_000)
    pace.acknowledged(acknowledged(0, device: 40_000_000), now: origin + 140_400_000)
    #expect(pace.roundTripNanoseconds == 400_000)
    // Two that are acknowledged together: whose work the time was is not known.
    pace.sent(PageCounts(encrypted: 16), sequence: 1, began: origin + 160_000_000, made: origin + 200_000_000)
    pace.sent(PageCounts(encrypted: 16), sequence: 2, began: origin + 200_000_000, made: origin + 240_000_000)
    pace.acknowledged(acknowledged(2, device: 120_000_000), now: origin + 281_000_000)
    #expect(pace.roundTripNanoseconds == 400_000)
  }

  @Test("tells no rate from few pages, and both devices' own from many")
  func devices() throws {
    var pace = PaceMeters()
    #expect(pace.encryptedPagesPerSecond == nil && pace.startSeconds(TransferRates()) == 0)
    pace.acknowledged(acknowledged(0), now: origin)
    #expect(pace.acknowledgedPages == PageCounts())
    for number: UInt64 in 0..<40 {
      let made = origin + number * 40_000_000
      pace.sent(PageCounts(encrypted: 16), sequence: number, began: made, made: made + 40_000_000)
      pace.device.add(16, nanoseconds: 40_000_000)
      // Each batch is made in 40 ms, and put into RAM in 20.
      pace.acknowledged(acknowledged(number, device: (number + 1) * 20_000_000), now: made + 61_000_000)
      if number == 2 { #expect(pace.encryptedPagesPerSecond == pace.device.perSecond) }
    }
    #expect(abs(try #require(pace.encryptedPagesPerSecond) - 400) < 1)
    #expect(abs(try #require(pace.device.perSecond) - 400) < 1)
    #expect(abs(try #require(pace.targetDevicePagesPerSecond) - 800) < 1)
    // The one batch that the target has still to do when the last one is made, and the way.
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = pace.encryptedPagesPerSecond
    #expect(abs(pace.startSeconds(rates) - 0.021) < 0.001)
  }

  @Test("keeps apart what looking for zeros takes")
  func zeros() throws {
    var pace = PaceMeters()
    var now = origin
    for number: UInt64 in 0..<20 {
      let isZeros = number % 2 == 1
      let took: UInt64 = isZeros ? 1_000_000 : 2_000_000
      if isZeros { pace.foundZeros(256, nanoseconds: took) }
      pace.sent(
        isZeros ? PageCounts(zero: 256) : PageCounts(plain: 256), sequence: number, began: now, made: now)
      now += took
      pace.acknowledged(acknowledged(number), now: now)
    }
    #expect(abs(try #require(pace.plainPagesPerSecond) - 128_000) < 1000)
    #expect(pace.encryptedPagesPerSecond == nil)
  }

  @Test("remembers a long migration with little")
  func long() throws {
    var pace = PaceMeters()
    for number: UInt64 in 0..<20_000 {
      let made = origin + number * 1_000_000
      pace.sent(PageCounts(encrypted: 16), sequence: number, began: made, made: made)
      pace.acknowledged(acknowledged(number), now: made + 1_000_000)
    }
    #expect(pace.acknowledgedPages.encrypted == 320_000)
    #expect(abs(try #require(pace.encryptedPagesPerSecond) - 16_000) < 100)
  }
}
