import MigrationCore
import Testing

@Suite("A migration plan")
struct MigrationPlanTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let pages: Int
    let load: SimulatedMigration.Load
    let path: SimulatedPath
    var jitter = 0.0
    var limits = MigrationLimits()

    init(
      _ words: String, pages: Int = 20_000, _ load: SimulatedMigration.Load, rate: Double = 400,
      jitter: Double = 0, path: SimulatedPath? = nil, maxPauseSeconds: Double = 0.3
    ) {
      testDescription = words
      self.pages = pages
      self.load = load
      self.path = path ?? SimulatedPath(own: rate)
      self.jitter = jitter
      limits.maxPauseSeconds = maxPauseSeconds
    }
  }

  static let movable = [
    Case("an idle guest at 400 pages/s", .nothing),
    Case("ever new pages at a tenth of the rate", .sweep(perSecond: 40, set: 20_000)),
    Case("a large set at random", .random(perSecond: 100, set: 5_000)),
    Case("a small set, again and again", .random(perSecond: 4_000, set: 60)),
    Case("a sweep through a middling set at half the rate", .sweep(perSecond: 200, set: 300)),
    Case("a small hot set and slow growth", .both(perSecond: 3_000, set: 30, growth: 30)),
    Case("a guest that writes a set at once and then rests", .bursts(every: 0.7, set: 60), rate: 2_000),
    Case("an uneven device", .random(perSecond: 100, set: 5_000), jitter: 0.1),
    Case("a quick path", pages: 131_072, .sweep(perSecond: 30_000, set: 60_000), rate: 200_000),
    Case(
      "a quick path and a hot set", pages: 131_072, .random(perSecond: 300_000, set: 9_000), rate: 200_000),
    Case(
      "two devices, of which the second begins when the first has made a batch",
      .random(perSecond: 800, set: 32),
      path: SimulatedPath(own: 400, target: 400, roundTrip: 0.001)),
    Case(
      "a slow target", .random(perSecond: 800, set: 32),
      path: SimulatedPath(own: 4000, target: 400, roundTrip: 0.001)),
    Case(
      "a far target and a hot set", pages: 32_768, .sweep(perSecond: 10_000, set: 512), path: far,
      maxPauseSeconds: 2),
    Case(
      "a far target and a guest that writes little", pages: 32_768, .sweep(perSecond: 300, set: 32_768),
      path: far, maxPauseSeconds: 2),
  ]

  /// 200 ms there and back, which is what limits it in the long run.
  static let far = SimulatedPath(own: 6000, target: 5000, roundTrip: 0.2, window: 40)

  @Test("foretells time and pause within 15 percent", arguments: movable)
  func foretells(_ row: Case) throws {
    var simulation = SimulatedMigration(
      pageCount: row.pages, load: row.load, path: row.path, jitter: row.jitter)
    let plan = MigrationPlan(simulation.facts(), row.limits)
    #expect(plan.converges && plan.obstacle == nil && plan.isAcceptable)
    let end = simulation.move(plan)
    guard case .stop(let pause) = end.decision else {
      Issue.record("it was given up: \(end.decision)")
      return
    }
    #expect(pause <= plan.limits.maxPauseSeconds)
    #expect(abs(plan.rounds - end.rounds) <= 1, "\(plan.rounds) rounds against \(end.rounds)")
    #expect(abs(plan.seconds - end.seconds) <= 0.15 * end.seconds, "\(plan.seconds) against \(end.seconds)")
    #expect(
      abs(plan.pauseSeconds - end.pauseSeconds) <= 0.15 * end.pauseSeconds,
      "\(plan.pauseSeconds) against \(end.pauseSeconds)")
  }

  @Test(
    "makes no rounds that cannot shorten the pause: each one takes a round trip, in which the guest writes")
  func fewRounds() throws {
    var simulation = SimulatedMigration(
      pageCount: 32_768, load: .sweep(perSecond: 10_000, set: 512), path: Self.far)
    var limits = MigrationLimits()
    limits.maxPauseSeconds = 30
    let plan = MigrationPlan(simulation.facts(), limits)
    #expect(plan.rounds == 1)
    #expect(simulation.move(plan).rounds == 1)
  }

  @Test("knows the pause that was measured with two devices of 400 pages a second")
  func twoDevices() {
    // 32 packets and 3 shared pages: made in 90 ms, the last 16 put into RAM in another 40, all in 136 ms.
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = 355
    rates.ownDevicePagesPerSecond = 360
    rates.targetDevicePagesPerSecond = 380
    var curve = DirtyCurve(limitPages: 4096)
    for milliseconds: UInt64 in [100, 200, 500, 1000] {
      curve.add(pages: 35, nanoseconds: milliseconds * 1_000_000)
    }
    var facts = MigrationFacts(pages: PageCounts(encrypted: 4093, plain: 3), rates: rates, dirty: curve)
    facts.dirtyEncryptedShare = 32.0 / 35
    facts.roundTripSeconds = 0.0005
    facts.standstillSeconds = 0.0016
    let plan = MigrationPlan(facts, MigrationLimits())
    #expect(abs(plan.pauseSeconds - 0.136) <= 0.15 * 0.136, "\(plan.pauseSeconds)")
  }

  @Test("knows the pause that was measured over 200 ms: pages that fit the way leave at the device's pace")
  func farPause() {
    // The path moved 2,213 pages a second in the long run; 512 packets left in 81 ms, and the pause was 388 ms.
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = 2_213
    rates.ownDevicePagesPerSecond = 6_330
    rates.targetDevicePagesPerSecond = 6_000
    var curve = DirtyCurve(limitPages: 32_768)
    for milliseconds: UInt64 in [100, 200, 500, 1000, 3000] {
      curve.add(pages: 515, nanoseconds: milliseconds * 1_000_000)
    }
    var facts = MigrationFacts(pages: PageCounts(encrypted: 32_735, plain: 33), rates: rates, dirty: curve)
    facts.dirtyEncryptedShare = 512.0 / 515
    facts.roundTripSeconds = 0.201
    facts.standstillSeconds = 0.002
    var limits = MigrationLimits()
    limits.maxPauseSeconds = 30
    let plan = MigrationPlan(facts, limits)
    #expect(plan.rounds == 1)
    #expect(abs(plan.pauseSeconds - 0.388) <= 0.15 * 0.388, "\(plan.pauseSeconds)")
  }

  static let immovable = [
    Case("ever new pages, faster than the device", .sweep(perSecond: 500, set: 20_000)),
    Case("a hot set that takes longer than the pause may", .random(perSecond: 20_000, set: 400)),
    Case(
      "a quick path and a guest that is quicker", pages: 131_072,
      .random(perSecond: 600_000, set: 131_072), rate: 200_000),
  ]

  @Test(
    "refuses a guest that writes faster than pages are moved, before the first page", arguments: immovable)
  func refuses(_ row: Case) throws {
    var simulation = SimulatedMigration(pageCount: row.pages, load: row.load, path: row.path)
    let plan = MigrationPlan(simulation.facts(), MigrationLimits())
    #expect(!plan.converges && !plan.isAcceptable)
    guard case .dirtiesFaster(let dirty, let moved, let pause, let limit) = try #require(plan.obstacle) else {
      Issue.record("another obstacle: \(plan.obstacle.debugDescription)")
      return
    }
    #expect(dirty >= moved)
    #expect(pause > limit)
    #expect(plan.sentences.last?.hasPrefix("will not converge: the guest writes ") == true)
    // And so it is: with the same facts the pilot gives up after a few rounds.
    guard case .giveUp = simulation.move(plan).decision else {
      Issue.record("the pilot found an end that the plan had not")
      return
    }
  }

  @Test("stops such a guest at the shortest pause if that is allowed")
  func allows() throws {
    var simulation = SimulatedMigration(
      pageCount: 20_000, load: .random(perSecond: 20_000, set: 400), pagesPerSecond: 400)
    var limits = MigrationLimits()
    limits.allowsNonconvergence = true
    let plan = MigrationPlan(simulation.facts(), limits)
    #expect(plan.isAcceptable && plan.obstacle != nil)
    let end = simulation.move(plan)
    guard case .stop(let pause) = end.decision else {
      Issue.record("it was given up: \(end.decision)")
      return
    }
    #expect(pause > limits.maxPauseSeconds)
    #expect(abs(plan.pauseSeconds - pause) <= 0.15 * pause)
  }

  @Test("knows that a pause shorter than its own end cannot be had")
  func endTooSlow() throws {
    var simulation = SimulatedMigration(pageCount: 1000, load: .nothing, pagesPerSecond: 400)
    var facts = simulation.facts()
    facts.standstillSeconds = 0.4 - facts.logSeconds
    let plan = MigrationPlan(facts, MigrationLimits())
    #expect(plan.obstacle == .endTooSlow(pauseSeconds: 0.4, maxPauseSeconds: 0.3))
    #expect(
      plan.obstacle?.sentence
        == "will not converge: the end alone pauses the guest for 400 ms, above the limit of 300 ms")
  }

  @Test("refuses what takes longer than it may, and the pilot does when it comes out later")
  func tooLong() throws {
    var simulation = SimulatedMigration(pageCount: 20_000, load: .nothing, pagesPerSecond: 400)
    var limits = MigrationLimits(maxPauseMilliseconds: 300, maxTimeSeconds: 30, allowsNonconvergence: false)
    let plan = MigrationPlan(simulation.facts(), limits)
    guard case .takesTooLong(let seconds, 30) = try #require(plan.obstacle) else {
      Issue.record("another obstacle")
      return
    }
    #expect(plan.converges && abs(seconds - 50) < 1)
    // The device is slower than it was in the probe, and the guest busy.
    limits.maxSeconds = 60
    var slow = SimulatedMigration(
      pageCount: 20_000, load: .sweep(perSecond: 100, set: 20_000), pagesPerSecond: 200)
    let hopeful = MigrationPlan(slow.facts(measured: 800), limits)
    #expect(hopeful.obstacle == nil)
    guard case .giveUp(.takesTooLong) = slow.move(hopeful).decision else {
      Issue.record("it went on beyond its time")
      return
    }
  }

  @Test("of 512 MiB over a device of 400 pages a second says how long that is")
  func sentences() {
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = 400
    rates.linkBytesPerSecond = 118 * 1_048_576
    var curve = DirtyCurve(limitPages: 131_072)
    for milliseconds: UInt64 in [200, 400, 600, 1000] {
      curve.add(pages: milliseconds * 35 / 1000, nanoseconds: milliseconds * 1_000_000)
    }
    let pages = PageCounts(encrypted: 131_000, plain: 72)
    let plan = MigrationPlan(MigrationFacts(pages: pages, rates: rates, dirty: curve), MigrationLimits())
    #expect(
      plan.sentences.dropLast() == [
        "131,072 pages: 131,000 encrypted, 72 plain",
        "the devices move 400 pages/s, the link carries 118 MiB/s; the devices set the pace",
        "the guest writes 35 pages/s",
      ])
    let last = plan.sentences.last ?? ""
    #expect(
      last.wholeMatch(of: /[3-6] rounds, [56] min \d+ s in all, with a pause of \d+ ms/) != nil, "\(last)")
    #expect(plan.text.split(separator: "\n").count == 4 && plan.text.utf8.count <= 512)
  }

  @Test("of a path that moves nothing does not converge, whatever the guest writes", arguments: [0.0, 10.0])
  func stuck(_ writes: Double) throws {
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = 0
    var curve = DirtyCurve(limitPages: 1000)
    for tenths: UInt64 in 1...10 {
      curve.add(pages: UInt64(writes) * tenths, nanoseconds: tenths * 100_000_000)
    }
    let facts = MigrationFacts(pages: PageCounts(encrypted: 1000), rates: rates, dirty: curve)
    var limits = MigrationLimits()
    limits.maxSeconds = 10
    let plan = MigrationPlan(facts, limits)
    #expect(!plan.isAcceptable)
    #expect(plan.text.contains("for ever") || !plan.converges)
    let progress = MigrationPilot(plan).progress(
      sent: PageCounts(), of: facts.pages, nanoseconds: 1_000_000_000, elapsedNanoseconds: 1_000_000_000)
    #expect(progress.pagesRemaining == 1000 && progress.expectedSeconds == .infinity)
  }

  @Test("of a guest without pages, or of which nothing is known, is made nevertheless")
  func nothing() {
    let empty = MigrationFacts(
      pages: PageCounts(), rates: TransferRates(), dirty: DirtyCurve(limitPages: 0))
    let plan = MigrationPlan(empty, MigrationLimits())
    #expect(plan.converges && plan.rounds == 1 && plan.pauseSeconds == empty.endSeconds)
    #expect(plan.sentences.first == "0 pages")
    #expect(plan.sentences[1] == "what the path moves is not known")
  }

  @Test("is limited by the bandwidth that is allowed")
  func bandwidth() {
    var rates = TransferRates()
    rates.linkBytesPerSecond = 100e6
    let pages = PageCounts(plain: 10_000)
    let free = rates.seconds(for: pages)
    rates.bandwidthBytesPerSecond = 10_000_000
    #expect(abs(rates.seconds(for: pages) - free * 10) < 0.01)
    #expect(rates.seconds(for: PageCounts(zero: 10_000)) < 0.02)
    rates.encryptedPagesPerSecond = 400
    #expect(rates.seconds(for: PageCounts(encrypted: 400, plain: 10)) == 1)
    let plan = MigrationPlan(
      MigrationFacts(pages: pages, rates: rates, dirty: DirtyCurve(limitPages: 10_000)), MigrationLimits())
    #expect(plan.sentences[1] == "the link carries 95 MiB/s, the limit is 9.5 MiB/s")
    #expect(plan.sentences[2] == "what the guest writes was not measured")
  }
}

@Suite("A migration under way")
struct MigrationPilotTests {
  @Test("tells the time that is left by what the device really does")
  func eta() {
    var simulation = SimulatedMigration(
      pageCount: 20_000, load: .sweep(perSecond: 40, set: 20_000), pagesPerSecond: 400)
    let plan = MigrationPlan(simulation.facts(measured: 800), MigrationLimits())
    let pilot = MigrationPilot(plan)
    // A quarter of the first round took 12.5 s, not the planned 6.25.
    let progress = pilot.progress(
      sent: PageCounts(encrypted: 5_000), of: PageCounts(encrypted: 20_000), nanoseconds: 12_500_000_000,
      elapsedNanoseconds: 12_500_000_000)
    let truth = simulation.move(plan).seconds - 12.5
    #expect(progress.pagesRemaining == 15_000)
    #expect(progress.pagesPerSecond == 400)
    #expect(
      abs(progress.expectedSeconds - truth) < 0.15 * truth, "\(progress.expectedSeconds) against \(truth)")
    #expect(progress.willConverge && !progress.isOverTime)
  }

  @Test("says at its very beginning what the plan says")
  func start() {
    var simulation = SimulatedMigration(
      pageCount: 20_000, load: .random(perSecond: 100, set: 5_000), pagesPerSecond: 400)
    let plan = MigrationPlan(simulation.facts(), MigrationLimits())
    let all = PageCounts(encrypted: 20_000)
    let progress = MigrationPilot(plan).progress(
      sent: PageCounts(), of: all, nanoseconds: 0, elapsedNanoseconds: 0)
    #expect(progress.expectedSeconds == plan.seconds)
    #expect(progress.expectedPauseSeconds == plan.pauseSeconds)
    #expect(abs(progress.pagesPerSecond - 400) < 0.001)
  }

  @Test("knows that its time is over within a round")
  func overTime() {
    var simulation = SimulatedMigration(pageCount: 1000, load: .nothing, pagesPerSecond: 400)
    let limits = MigrationLimits(maxPauseMilliseconds: 300, maxTimeSeconds: 10, allowsNonconvergence: false)
    let pilot = MigrationPilot(MigrationPlan(simulation.facts(), limits))
    for (elapsed, isOver): (UInt64, Bool) in [(10_000_000_000, false), (10_000_000_001, true)] {
      let progress = pilot.progress(
        sent: PageCounts(), of: PageCounts(encrypted: 10), nanoseconds: 1, elapsedNanoseconds: elapsed)
      #expect(progress.isOverTime == isOver)
    }
  }

  @Test("expects the pause by what the way was measured to be since")
  func remeasured() {
    var simulation = SimulatedMigration(
      pageCount: 20_000, load: .random(perSecond: 100, set: 5_000), pagesPerSecond: 400)
    var facts = simulation.facts()
    facts.roundTripSeconds = 0.1
    let plan = MigrationPlan(facts, MigrationLimits())
    var pilot = MigrationPilot(plan)
    pilot.remeasured(roundTripSeconds: 0.001, logSeconds: facts.logSeconds)
    let progress = pilot.progress(
      sent: PageCounts(), of: facts.pages, nanoseconds: 0, elapsedNanoseconds: 0)
    #expect(progress.expectedPauseSeconds < plan.pauseSeconds - 0.1)
    #expect(pilot.plan == plan)
  }

  @Test("stops at a quiet moment of a guest that writes in bursts, after rounds that met them")
  func quietMoment() throws {
    var simulation = SimulatedMigration(
      pageCount: 4_096, load: .bursts(every: 0.08, set: 250), pagesPerSecond: 6_000)
    let plan = MigrationPlan(simulation.facts(), MigrationLimits())
    #expect(plan.pauseSeconds < plan.facts.endSeconds * 1.05)
    let end = simulation.move(plan)
    #expect(end.pauseSeconds < plan.facts.endSeconds * 1.05)
  }

  @Test("makes no round more for a guest without quiet moments")
  func noQuietMoment() throws {
    var simulation = SimulatedMigration(
      pageCount: 4_096, load: .random(perSecond: 100_000, set: 250), pagesPerSecond: 6_000)
    let plan = MigrationPlan(simulation.facts(), MigrationLimits())
    #expect(plan.rounds == 1)
    #expect(simulation.move(plan).rounds == 1)
  }

  /// A pilot that has decided to stop a guest that has 10 pages left.
  private func stopping(_ limits: MigrationLimits) -> MigrationPilot {
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = 1_000
    let facts = MigrationFacts(
      pages: PageCounts(encrypted: 4096), rates: rates, dirty: DirtyCurve(limitPages: 4096))
    var pilot = MigrationPilot(MigrationPlan(facts, limits))
    var decision = MigrationDecision.another
    var elapsed: UInt64 = 0
    while decision == .another, pilot.round < 30 {
      elapsed += 4_000_000_000
      decision = pilot.roundEnded(
        sent: facts.pages, nanoseconds: 4_096_000_000, dirtied: PageCounts(encrypted: 10),
        elapsedNanoseconds: elapsed)
    }
    guard case .stop = decision else {
      Issue.record("it was not stopped: \(decision)")
      return pilot
    }
    return pilot
  }

  @Test(
    "lets a guest run on that left several times as much as was expected, and far more than nothing",
    arguments: [(10, .stands), (14, .stands), (22, .runsOn), (200, .runsOn)] as [(UInt64, MigrationStop)])
  func burstAtTheStop(_ example: (left: UInt64, decision: MigrationStop)) {
    var pilot = stopping(MigrationLimits())
    let decision = pilot.guestStopped(leaving: PageCounts(encrypted: example.left))
    #expect(decision == example.decision)
  }

  @Test("lets a guest run on whose pause would break its limit")
  func limitAtTheStop() {
    var pilot = stopping(
      MigrationLimits(maxPauseMilliseconds: 12, maxTimeSeconds: 0, allowsNonconvergence: false))
    let decision = pilot.guestStopped(leaving: PageCounts(encrypted: 14))
    #expect(decision == .runsOn)
  }

  @Test("takes the guest as it is at its fourth stop, and when its time is over")
  func lastStop() {
    var pilot = stopping(MigrationLimits())
    let decisions = (0..<4).map { _ in pilot.guestStopped(leaving: PageCounts(encrypted: 200)) }
    #expect(decisions == [.runsOn, .runsOn, .runsOn, .stands])
    var late = stopping(
      MigrationLimits(maxPauseMilliseconds: 300, maxTimeSeconds: 1, allowsNonconvergence: false))
    let decision = late.guestStopped(leaving: PageCounts(encrypted: 200))
    #expect(decision == .stands)
  }

  @Test("does not go on for ever with rounds that promise a shorter pause and bring none")
  func vainRounds() {
    // What was measured made the guest seem slow to write its 259 pages; each round of 80 ms found all of them written.
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = 3_000
    var curve = DirtyCurve(limitPages: 4096)
    for (milliseconds, pages): (UInt64, UInt64) in [
      (20, 20), (50, 50), (100, 120), (200, 240), (500, 259), (1000, 259),
    ] {
      curve.add(pages: pages, nanoseconds: milliseconds * 1_000_000)
    }
    let facts = MigrationFacts(pages: PageCounts(encrypted: 4096), rates: rates, dirty: curve)
    var pilot = MigrationPilot(MigrationPlan(facts, MigrationLimits()))
    var elapsed: UInt64 = 1_400_000_000
    var decision = pilot.roundEnded(
      sent: facts.pages, nanoseconds: elapsed, dirtied: PageCounts(encrypted: 259),
      elapsedNanoseconds: elapsed)
    while decision == .another, pilot.round < 20 {
      elapsed += 86_000_000
      decision = pilot.roundEnded(
        sent: PageCounts(encrypted: 259), nanoseconds: 86_000_000, dirtied: PageCounts(encrypted: 259),
        elapsedNanoseconds: elapsed)
    }
    #expect(pilot.round <= 9)
    guard case .stop = decision else {
      Issue.record("it was not stopped: \(decision)")
      return
    }
  }

  @Test("does not give up because one round was bad")
  func patience() {
    var simulation = SimulatedMigration(
      pageCount: 20_000, load: .sweep(perSecond: 40, set: 20_000), pagesPerSecond: 400)
    let plan = MigrationPlan(simulation.facts(), MigrationLimits())
    var pilot = MigrationPilot(plan)
    // Everything was written again while the first round lasted.
    let first = pilot.roundEnded(
      sent: PageCounts(encrypted: 20_000), nanoseconds: 50_000_000_000,
      dirtied: PageCounts(encrypted: 20_000), elapsedNanoseconds: 50_000_000_000)
    #expect(first == .another)
    let second = pilot.roundEnded(
      sent: PageCounts(encrypted: 20_000), nanoseconds: 50_000_000_000,
      dirtied: PageCounts(encrypted: 2_000), elapsedNanoseconds: 100_000_000_000)
    #expect(second == .another)
    let third = pilot.roundEnded(
      sent: PageCounts(encrypted: 2_000), nanoseconds: 5_000_000_000, dirtied: PageCounts(),
      elapsedNanoseconds: 105_000_000_000)
    #expect(third == .stop(pauseSeconds: plan.facts.endSeconds))
    #expect(pilot.round == 3)
  }
}
