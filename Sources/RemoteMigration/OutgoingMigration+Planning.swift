import BatonWire
import LinuxOS
import MigrationCore

/// What is measured while the first pages go, and the plan that is made of it.
extension OutgoingMigration {
  /// The probe of a plan sends so much and no more, and never ends a round.
  var isProbeFull: Bool {
    order.request.isPlanOnly
      && (copy.sent.encrypted >= 16_384 || copy.sent.plain >= 65_536
        || copy.sent.encrypted >= 4096 && MonotonicClock.now() - copy.began >= 4 * Self.longProbe
        || copy.sent.plain >= 16_384 && MonotonicClock.now() - copy.began >= Self.longProbe
        || copy.pending.first(from: copy.cursor) ?? .max >= endOfProbe ?? .max)
  }

  /// The page that a plan's probe does not reach: what is echoed was not sent before.
  var endOfProbe: Int? {
    order.request.isPlanOnly && !isEchoing ? guest.ram.pageCount - Self.echoCount : nil
  }

  /// So long a slow path is tried with plain pages, once it has moved enough of them.
  private static let longProbe: UInt64 = 500_000_000

  /// A plan ends with pages that go one by one, each when the one before has been answered: the way as it is in the
  /// pause, where both ends wait for each other.
  var isEchoing: Bool { copy.echoBegan > 0 }
  var isEchoDue: Bool { !hasEchoed && stream.batchesUnacknowledged == 0 }
  private var hasEchoed: Bool {
    copy.echoes == Self.echoCount || copy.pending.first(from: copy.cursor) == nil
  }
  private static let echoCount = 8
  /// A way that is so long is known well enough by fewer.
  private static let longestEcho: UInt64 = 500_000_000

  /// Samples what the guest writes, and decides as soon as enough is known.
  func consider(_ now: UInt64) throws(MigrationFailure) {
    if let pilot = copy.pilot {
      guard pilot.isOverTime(elapsedNanoseconds: now - copy.began), !pilot.plan.limits.allowsNonconvergence
      else { return }
      throw MigrationFailure(
        .deadlinePassed, "the migration takes longer than the \(order.request.maxTimeSeconds) s that it may")
    }
    let elapsed = now - copy.began
    if now - copy.traced >= max(Self.window, copy.logNanoseconds * Self.rarity) { try traceDirty(now) }
    if copy.samples < Self.sampleTimes.count, elapsed >= Self.sampleTimes[copy.samples] {
      try sampleDirty(now)
      while copy.samples < Self.sampleTimes.count, elapsed >= Self.sampleTimes[copy.samples] {
        copy.samples += 1
      }
    }
    let isMeasured = guest.encryption == nil || pace.acknowledgedPages.encrypted >= 200
    let isSampled = copy.samples >= sampleCount
    let isProbed = !order.request.isPlanOnly || isProbeFull || guest.encryption != nil
    guard elapsed > Self.longestProbe || isSampled && isMeasured && isProbed else { return }
    if order.request.isPlanOnly {
      if !isEchoing { copy.echoBegan = now }
      guard
        hasEchoed && stream.batchesUnacknowledged == 0
          || now - copy.echoBegan >= Self.longestEcho
      else { return }
    }
    try decidePlan(now)
  }

  /// When the distinct pages written so far are counted, in nanoseconds since the begin.
  private static let sampleTimes: [UInt64] = [
    20_000_000, 50_000_000, 100_000_000, 200_000_000, 500_000_000, 1_000_000_000, 2_000_000_000,
    3_000_000_000,
  ]
  /// A working set that a slow device's first round meets again and again shows only later.
  private static let slowPagesPerSecond = 10_000.0
  private static let longestProbe: UInt64 = 5_000_000_000

  /// How many of the samples are taken.
  private var sampleCount: Int {
    (pace.encryptedPagesPerSecond ?? .infinity) < Self.slowPagesPerSecond
      ? Self.sampleTimes.count : Self.sampleTimes.count - 2
  }

  private func sampleDirty(_ now: UInt64) throws(MigrationFailure) {
    if copy.traced < now { try traceDirty(now) }
    copy.curve.add(pages: UInt64(copy.dirty.count), nanoseconds: now - copy.began)
  }

  private func traceDirty(_ now: UInt64) throws(MigrationFailure) {
    try guest.takeDirtyPages(into: &copy.window)
    copy.trace.add(pages: UInt64(copy.window.count), nanoseconds: now - copy.traced)
    copy.dirty.formUnion(copy.window)
    if now - copy.traced >= Self.window {
      var always = copy.always.take() ?? copy.window
      always.formIntersection(copy.window)
      copy.always = always
    }
    copy.window.removeAll()
    copy.traced = now
    copy.logNanoseconds = MonotonicClock.now() - now
  }

  /// How often is looked what the guest wrote, in nanoseconds; less often where looking takes long.
  private static let window: UInt64 = 10_000_000
  private static let rarity: UInt64 = 50

  var logSeconds: Double { Double(copy.logNanoseconds) / 1e9 }
  var roundTripSeconds: Double { Double(pace.roundTripNanoseconds) / 1e9 }

  private var rates: TransferRates {
    var rates = TransferRates()
    rates.encryptedPagesPerSecond = pace.encryptedPagesPerSecond
    rates.ownDevicePagesPerSecond = pace.device.perSecond
    rates.targetDevicePagesPerSecond = pace.targetDevicePagesPerSecond
    rates.batchPages = UInt64(copy.batchPages)
    // Plain pages take as long as the whole path takes, whatever is the narrowest in it.
    rates.linkBytesPerSecond =
      guest.encryption == nil
      ? pace.plainPagesPerSecond.map { $0 * Double(TransferRates.plainPageBytes) } : nil
    rates.zeroPagesPerSecond = pace.zeros.perSecond
    rates.bandwidthBytesPerSecond = order.request.bandwidthBytesPerSecond
    return rates
  }

  func decidePlan(_ now: UInt64) throws(MigrationFailure) {
    if copy.samples < Self.sampleTimes.count, now > copy.began { try sampleDirty(now) }
    var all = PageBitmap(pageCount: guest.ram.pageCount)
    all.insertAll()
    let pages = count(all)
    var facts = MigrationFacts(pages: pages, rates: rates, dirty: copy.curve)
    facts.trace = copy.trace
    facts.alwaysDirty = copy.always.map { count($0) } ?? PageCounts()
    let dirtied = count(copy.dirty)
    facts.dirtyEncryptedShare =
      dirtied.total > 0
      ? Double(dirtied.encrypted) / Double(dirtied.total) : (guest.encryption == nil ? 0 : 1)
    facts.roundTripSeconds = roundTripSeconds
    facts.startSeconds = pace.startSeconds(facts.rates)
    facts.logSeconds = logSeconds
    facts.standstillSeconds = standstillSeconds
    let limits = MigrationLimits(
      maxPauseMilliseconds: order.request.maxPauseMilliseconds,
      maxTimeSeconds: UInt32(clamping: order.request.maxTimeSeconds),
      allowsNonconvergence: order.request.allowsNonconvergence)
    let plan = MigrationPlan(facts, limits)
    copy.pilot = MigrationPilot(plan)
    copy.decided = plan
    var report = report(now)
    report.phase = .planning
    report.take(plan)
    report.checks = checks
    if order.request.isPlanOnly {
      guest.stopDirtyLog()
      report.phase = .done
      events.append(.planned(report))
      enter(.over)
    } else {
      events.append(.report(report))
      if !plan.isAcceptable, let obstacle = plan.obstacle {
        throw MigrationFailure(.willNotConverge, obstacle.sentence)
      }
    }
  }

  /// What the pause takes besides pages and the way.
  ///
  /// The target has just tried how long its registry takes for a record, its journal's sync and an answer. In the pause
  /// come four of these: two of this host's registry, which is taken for one of the same kind (`departing`, `departed`),
  /// and two of the target's (`arrived`, the verdict).
  private var standstillSeconds: Double {
    Self.machineSeconds + 4 * Double(facts?.registryNanoseconds ?? 0) / 1e9 + finishSeconds
  }

  /// SEND_FINISH and RECEIVE_FINISH, each taken to be as long as a page takes.
  private var finishSeconds: Double {
    [pace.device.perSecond, pace.targetDevicePagesPerSecond].reduce(0) { $0 + ($1.map { 1 / $0 } ?? 0) }
  }

  /// Stopping vCPUs, saving their state, restoring and starting it, with all processes between which it goes waking up
  /// one after the other: what cannot be tried while the guest runs. As it was measured with software vCPUs; a VMM with
  /// much device state takes longer.
  private static let machineSeconds = 0.0011
}
