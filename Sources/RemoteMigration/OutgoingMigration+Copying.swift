public import BatonWire
import EncryptionStatus
import LinuxOS
import MigrationCore

/// Rounds of pages.
extension OutgoingMigration {
  var hasOutput: Bool { copy.written != nil || link?.hasOutput == true }

  /// Whether pages could be sent now.
  var hasPages: Bool {
    switch stage {
    case .copying: !isProbeFull && copy.nextBatch <= MonotonicClock.now()
    case .lastRound: true
    case .connecting, .greeting, .offering, .settingUp, .draining, .stopping, .closing, .departing, .receipt,
      .over:
      false
    }
  }

  /// The probe of a plan sends so much and no more, and never ends a round.
  private var isProbeFull: Bool {
    order.request.isPlanOnly
      && (copy.sent.encrypted >= 4096 || copy.sent.plain >= 16_384
        || copy.pending.first(from: copy.cursor) == nil)
  }

  // MARK: Begin

  func beginCopying() throws(MigrationFailure) {
    _ = guest.encryption?.refreshRegions()
    // First the log: a page that is written between the two is sent twice at worst.
    try guest.startDirtyLog()
    copy.populated = guest.populatedPages()
    copy.pending.insertAll()
    copy.toSend = count(copy.pending)
    copy.began = MonotonicClock.now()
    copy.roundBegan = copy.began
    copy.hasBegun = true
    enter(.copying)
  }

  /// How these pages will be sent, as far as that can be told without reading them.
  private func count(_ pages: borrowing PageBitmap) -> PageCounts {
    var counts = PageCounts()
    var at = 0
    while let page = pages.first(from: at) {
      if isEncrypted(page) {
        counts.encrypted += 1
      } else if copy.populated?.contains(page) == false {
        counts.zero += 1
      } else {
        counts.plain += 1
      }
      at = page + 1
    }
    return counts
  }

  private func isEncrypted(_ page: Int) -> Bool {
    guard let encryption = guest.encryption else { return false }
    return !encryption.isShared(guest.ram.frame(ofPage: page))
  }

  // MARK: Batches

  /// Writes what waits: the batch that was begun, then other frames.
  func flush() throws(MigrationFailure) -> Bool {
    var wrote = false
    if let written = copy.written {
      let bytes = copy.batch.bytes
      let count = try link?.write(bytes, from: written) ?? 0
      wrote = count > 0
      copy.written = written + count == bytes.count ? nil : written + count
      guard copy.written == nil else { return wrote }
    }
    if try link?.flush() == true { wrote = true }
    return wrote
  }

  /// Makes the next batch, or ends the round.
  ///
  /// - Returns: Whether anything was made.
  func produce(until end: UInt64) throws(MigrationFailure) -> Bool {
    switch stage {
    case .draining: return try finishRound()
    case .copying, .lastRound: break
    case .connecting, .greeting, .offering, .settingUp, .stopping, .closing, .departing, .receipt, .over:
      return false
    }
    guard !hasOutput, hasPages else { return false }
    copy.batch.clear()
    let began = MonotonicClock.now()
    let sent = try fill(until: end)
    if sent.zero > 0, sent.zero == sent.total {
      pace.foundZeros(sent.zero, nanoseconds: MonotonicClock.now() - began)
    }
    if copy.batch.isEmpty {
      if stage == .lastRound { try sendRest() } else { try endRound() }
      return true
    }
    let isFirst = copy.sent.total == 0 && copy.sentBefore.total == 0
    let sequence = stream.totals.batches
    do throws(StreamFault) { try stream.seal(&copy.batch) } catch { throw MigrationFailure(error) }
    pace.sent(sent, sequence: sequence, began: began, made: MonotonicClock.now())
    copy.sent = copy.sent + sent
    copy.written = 0
    let bandwidth = order.request.bandwidthBytesPerSecond
    // In the pause the guest waits, and the limit does not count.
    if bandwidth > 0, stage == .copying {
      let bytes = UInt64(copy.batch.bytes.count)
      copy.nextBatch = max(copy.nextBatch, MonotonicClock.now()) + bytes * 1_000_000_000 / bandwidth
    }
    _ = try flush()
    if isFirst { events.append(.copying) }
    return true
  }

  /// Fills the batch with the next pages of the round.
  private func fill(until end: UInt64) throws(MigrationFailure) -> PageCounts {
    var sent = PageCounts()
    let page = GuestRAM.pageByteCount
    let ram = guest.ram
    while !copy.batch.isFull, let next = copy.pending.first(from: copy.cursor) {
      let frame = ram.frame(ofPage: next)
      if let encryption = guest.encryption, !encryption.isShared(frame) {
        let before = MonotonicClock.now()
        // One slow call more is fine, many are not.
        if sent.total > 0, before >= end { break }
        try copy.batch.appendEncrypted(frame) { packet throws(MigrationFailure) in
          try encryption.saveOutgoingPage(at: ram.address(ofPage: next), into: &packet)
        }
        pace.device.add(1, nanoseconds: MonotonicClock.now() - before)
        sent.encrypted += 1
      } else if copy.populated?.contains(next) == false || ram.isZero(page: next) {
        copy.batch.appendZero(frame)
        sent.zero += 1
      } else {
        copy.batch.appendPlain(frame) { bytes in
          ram.mapping.read(at: next * page, count: page, into: &bytes)
        }
        sent.plain += 1
      }
      copy.cursor = next + 1
    }
    return sent
  }

  // MARK: Rounds

  private func endRound() throws(MigrationFailure) {
    try send(.roundEnd(stream.roundSoFar))
    enter(.draining)
  }

  /// Goes on once the target has all pages of the round: only then is known how long it took.
  private func finishRound() throws(MigrationFailure) -> Bool {
    guard !hasOutput, stream.batchesUnacknowledged == 0 else { return false }
    // Without a plan there is nothing to decide by.
    if copy.pilot == nil { try decidePlan(MonotonicClock.now()) }
    guard var pilot = copy.pilot else { return true }
    let drained = MonotonicClock.now()
    try collectDirty()
    // What was zero in the first round and was written since is known as dirty.
    copy.populated = nil
    let now = MonotonicClock.now()
    let dirtied = count(copy.dirty)
    copy.logNanoseconds = MonotonicClock.now() - drained
    pilot.remeasured(roundTripSeconds: roundTripSeconds, logSeconds: logSeconds)
    let took = now - copy.roundBegan
    let round = pilot.round
    let decision = pilot.roundEnded(
      sent: copy.sent, nanoseconds: took, dirtied: dirtied, elapsedNanoseconds: now - copy.began)
    copy.pilot = pilot
    events.append(.roundEnded(round: round, sent: copy.sent, dirtied: dirtied, nanoseconds: took))
    switch decision {
    case .another: beginRound(dirtied)
    case .stop(let pause):
      enter(.stopping)
      events.append(.stopGuest(expectedPauseSeconds: pause))
    case .giveUp(let obstacle): throw MigrationFailure(.willNotConverge, obstacle.sentence)
    }
    return true
  }

  private func beginRound(_ counts: PageCounts) {
    copy.sentBefore = copy.sentBefore + copy.sent
    copy.sent = PageCounts()
    copy.toSend = counts
    copy.pending = copy.dirty
    copy.dirty.removeAll()
    copy.cursor = 0
    copy.roundBegan = MonotonicClock.now()
    enter(.copying)
  }

  /// Adds what was written since the last look, and what changed its kind.
  private func collectDirty() throws(MigrationFailure) {
    try guest.takeDirtyPages(into: &copy.dirty)
    for range in guest.encryption?.refreshRegions() ?? [] {
      // A guest may name far more than it has.
      for ram in guest.ram.ranges {
        let frames = range.clamped(to: ram.firstFrame..<ram.firstFrame + UInt64(ram.count))
        for frame in frames { copy.dirty.insert(ram.firstPage + Int(frame - ram.firstFrame)) }
      }
    }
  }

  // MARK: Plan

  /// Samples what the guest writes, and decides as soon as enough is known.
  func consider(_ now: UInt64) throws(MigrationFailure) {
    if let pilot = copy.pilot {
      let progress = pilot.progress(
        sent: copy.sent, of: copy.toSend, nanoseconds: now - copy.roundBegan,
        elapsedNanoseconds: now - copy.began)
      guard progress.isOverTime, !pilot.plan.limits.allowsNonconvergence else { return }
      throw MigrationFailure(
        .deadlinePassed, "the migration takes longer than the \(order.request.maxTimeSeconds) s that it may")
    }
    let elapsed = now - copy.began
    if copy.samples < Self.sampleTimes.count, elapsed >= Self.sampleTimes[copy.samples] {
      try sampleDirty(elapsed)
      while copy.samples < Self.sampleTimes.count, elapsed >= Self.sampleTimes[copy.samples] {
        copy.samples += 1
      }
    }
    let isMeasured = guest.encryption == nil || pace.acknowledgedPages.encrypted >= 200
    let isSampled = copy.samples >= sampleCount
    let isProbed = !order.request.isPlanOnly || isProbeFull || guest.encryption != nil
    guard elapsed > Self.longestProbe || isSampled && isMeasured && isProbed else { return }
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

  private func sampleDirty(_ elapsed: UInt64) throws(MigrationFailure) {
    let began = MonotonicClock.now()
    try guest.takeDirtyPages(into: &copy.dirty)
    copy.curve.add(pages: UInt64(copy.dirty.count), nanoseconds: elapsed)
    copy.logNanoseconds = MonotonicClock.now() - began
  }

  private var logSeconds: Double { Double(copy.logNanoseconds) / 1e9 }
  private var roundTripSeconds: Double { Double(pace.roundTripNanoseconds) / 1e9 }

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

  private func decidePlan(_ now: UInt64) throws(MigrationFailure) {
    if copy.samples < Self.sampleTimes.count, now > copy.began { try sampleDirty(now - copy.began) }
    var all = PageBitmap(pageCount: guest.ram.pageCount)
    all.insertAll()
    let pages = count(all)
    var facts = MigrationFacts(pages: pages, rates: rates, dirty: copy.curve)
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
  /// The target's registry has just welcomed the guest's VMM there: a connection, a record, its journal's sync, an
  /// answer. In the pause comes the same once more (`arrived`), and three steps on a connection that stands: two of this
  /// host's registry, which is taken for one of the same kind (`departing`, `departed`), and the target's verdict.
  private var standstillSeconds: Double {
    Self.machineSeconds + 3 * Double(facts?.registryNanoseconds ?? 0) / 1e9
  }

  /// Stopping vCPUs, saving their state, restoring and starting it: what cannot be tried while the guest runs.
  private static let machineSeconds = 0.0005

  // MARK: The pause

  /// The guest stands still, by ``Event/stopGuest(expectedPauseSeconds:)``.
  ///
  /// - Parameter state: Of vCPUs and devices.
  public func guestStopped(state: [UInt8]) throws(MigrationFailure) {
    copy.stopped = MonotonicClock.now()
    try collectDirty()
    beginRound(count(copy.dirty))
    copy.state = state
    guest.stopDirtyLog()
    enter(.lastRound)
  }

  /// Everything but pages.
  private func sendRest() throws(MigrationFailure) {
    var end = stream.roundSoFar
    end.isLast = true
    try send(.roundEnd(end))
    try send(.sharedRegions(guest.encryption?.savedRegions() ?? SharedRegions()))
    if let encryption = guest.encryption, encryption.hasEncryptedState {
      for vcpu in 0..<UInt32(offer.manifest.vcpuCount) {
        try send(.saveArea(try encryption.saveRegisters(ofVCPU: vcpu)))
      }
    }
    for chunk in StateChunk.cut(copy.state) { try send(.state(chunk)) }
    try send(.end(stream.totals))
    enter(.closing)
    events.append(.sent)
  }

  // MARK: Reports

  /// Where the migration stands now, for people.
  public var report: MigrationReport { report(MonotonicClock.now()) }

  func report(_ now: UInt64) -> MigrationReport {
    var report = MigrationReport(phase: phase)
    report.pagesTotal = UInt64(guest.ram.pageCount)
    report.pagesSent = (copy.sentBefore + copy.sent).total
    report.bytesSent = link?.byteCount ?? bytesBefore
    report.elapsedMilliseconds = copy.hasBegun ? (now - copy.began) / 1_000_000 : 0
    guard let pilot = copy.pilot else {
      report.pagesRemaining = (copy.toSend - copy.sent).total
      return report
    }
    if let plan = copy.decided { report.takeFigures(plan) }
    // What is sent in the pause is no round, here as in the plan.
    report.round = UInt64(copy.stopped == 0 ? pilot.round + 1 : pilot.round)
    let progress = pilot.progress(
      sent: copy.sent, of: copy.toSend, nanoseconds: now - copy.roundBegan,
      elapsedNanoseconds: now - copy.began)
    report.pagesRemaining = progress.pagesRemaining
    report.pagesPerSecond = Self.whole(progress.pagesPerSecond)
    report.dirtyPagesPerSecond = Self.whole(progress.dirtyPagesPerSecond)
    report.expectedMilliseconds = Self.whole(progress.expectedSeconds * 1000)
    report.expectedPauseMilliseconds = Self.whole(progress.expectedPauseSeconds * 1000)
    report.expectedPauseMicroseconds = Self.whole(progress.expectedPauseSeconds * 1_000_000)
    report.willConverge = progress.willConverge
    return report
  }

  private var phase: MigrationReport.Phase {
    switch stage {
    case .connecting, .greeting: .connecting
    case .offering, .settingUp: .checking
    case .copying, .draining: copy.pilot == nil ? .planning : .copying
    case .stopping, .lastRound, .closing: .finishing
    case .departing: .ready
    case .receipt: .departed
    case .over: .done
    }
  }

  private static func whole(_ value: Double) -> UInt64 { MigrationReport.whole(value) }
}

extension MigrationReport {
  static func whole(_ value: Double) -> UInt64 {
    value.isFinite && value > 0 ? UInt64(min(value.rounded(), 9e18)) : 0
  }

  /// What the plan says, and not what is going on.
  mutating func take(_ plan: MigrationPlan) {
    text = plan.text
    takeFigures(plan)
    let facts = plan.facts
    let seconds = facts.rates.seconds(for: facts.pages)
    pagesPerSecond = seconds > 0 ? Self.whole(Double(facts.pages.total) / seconds) : 0
    dirtyPagesPerSecond = Self.whole(facts.dirty.pagesPerSecond)
    expectedMilliseconds = Self.whole(plan.seconds * 1000)
    expectedPauseMilliseconds = Self.whole(plan.pauseSeconds * 1000)
    expectedPauseMicroseconds = Self.whole(plan.pauseSeconds * 1_000_000)
    willConverge = plan.converges
  }

  /// What the plan was made of.
  mutating func takeFigures(_ plan: MigrationPlan) {
    let facts = plan.facts
    expectedRounds = UInt64(plan.rounds)
    encryptedPages = facts.pages.encrypted
    plainPages = facts.pages.plain
    zeroPages = facts.pages.zero
    linkBytesPerSecond = facts.rates.linkBytesPerSecond.map(Self.whole) ?? 0
    workingSetPages = facts.dirty.workingSetPages ?? 0
    maxPauseMilliseconds = Self.whole(plan.limits.maxPauseSeconds * 1000)
  }
}
