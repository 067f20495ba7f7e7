public import BatonWire
import LinuxOS
public import MigrationCore

/// What people see of a migration.
extension OutgoingMigration {
  /// Where the migration stands now, for people.
  public var report: MigrationReport { report(MonotonicClock.now()) }

  /// Where it came to in the end.
  ///
  /// - Parameter lastInstruction: Of the guest here, by `CLOCK_MONOTONIC` in nanoseconds.
  public func report(
    stoppedAt lastInstruction: UInt64, runningAt first: FirstInstruction
  ) -> MigrationReport {
    var report = report
    report.phase = .done
    report.pagesRemaining = 0
    report.expectedMilliseconds = 0
    report.expectedPauseMilliseconds = 0
    report.expectedPauseMicroseconds = 0
    let stopped = MonotonicClock.wallTime(at: lastInstruction)
    report.pauseMicroseconds = first.nanoseconds > stopped ? (first.nanoseconds - stopped) / 1000 : 0
    return report
  }

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
