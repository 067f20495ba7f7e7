/// What a migration that is under way does next.
public enum MigrationDecision: Hashable, Sendable {
  /// Another round with what the guest has written.
  case another
  /// Stop the guest now and send what it has written.
  case stop(pauseSeconds: Double)
  /// Cancel: it would not come to an end within its limits.
  case giveUp(MigrationObstacle)
}

/// What becomes of a guest that was stopped.
public enum MigrationStop: Hashable, Sendable {
  /// It stands still for the pause.
  case stands
  /// It had better run on, and be stopped again after another round.
  case runsOn
}

/// Where a migration stands within a round.
public struct MigrationProgress: Hashable, Sendable {
  /// What this round still has to send.
  public let pagesRemaining: UInt64
  /// What is moved, in this round.
  public let pagesPerSecond: Double
  /// What the guest writes.
  public let dirtyPagesPerSecond: Double
  /// From now until the guest runs at the target.
  public let expectedSeconds: Double
  /// The pause that is expected.
  public let expectedPauseSeconds: Double
  /// Whether the pause is expected to come below its limit.
  public let willConverge: Bool
  /// Whether it takes longer than it may.
  public let isOverTime: Bool
}

/// Steers a migration round by round. What a round really took and what the guest really wrote in it correct the
/// figures of the plan.
public struct MigrationPilot: Hashable, Sendable {
  /// What was planned.
  public let plan: MigrationPlan
  /// Rounds that have ended.
  public private(set) var round = 0
  private var facts: MigrationFacts
  private var rule: StopRule
  /// By how much longer rounds take than the rates say.
  private var slowness = 1.0
  /// Rounds in a row after which no end was in sight, and how much there was to send after the first of them.
  private var strikes = 0
  private var anchor: UInt64 = 0
  /// The pause for which the guest is being stopped.
  private var stopSeconds = 0.0
  /// How often it may still be stopped in vain.
  private var attempts = 3

  /// Steers by a plan.
  public init(_ plan: MigrationPlan) {
    self.plan = plan
    facts = plan.facts
    rule = StopRule(maxPauseSeconds: plan.limits.maxPauseSeconds)
  }

  /// After so many rounds without an end in sight it is given up: one of them may have been bad luck.
  private static let patience = 3

  /// Takes what was measured anew of the way, so that rounds and the pause are expected by that.
  public mutating func remeasured(roundTripSeconds: Double, logSeconds: Double) {
    facts.roundTripSeconds = roundTripSeconds
    facts.logSeconds = logSeconds
  }

  /// Decides at the end of a round.
  ///
  /// - Parameters:
  ///   - sent: What the round has sent.
  ///   - nanoseconds: How long it took, up to the collection of the dirty log.
  ///   - dirtied: What the guest wrote meanwhile, each page once.
  ///   - elapsedNanoseconds: Since the first round began.
  public mutating func roundEnded(
    sent: PageCounts, nanoseconds: UInt64, dirtied: PageCounts, elapsedNanoseconds: UInt64
  ) -> MigrationDecision {
    let besides = round == 0 ? facts.startSeconds + facts.logSeconds : facts.roundOverheadSeconds
    learn(sent, Double(nanoseconds) / 1e9 - besides)
    round += 1
    facts.dirty.add(pages: dirtied.total, nanoseconds: nanoseconds)
    if dirtied.total > 0 {
      facts.dirtyEncryptedShare = Double(dirtied.encrypted) / Double(dirtied.total)
    }
    let pause = Forecast.pause(dirtied, facts, slowness)
    let isShortEnough = pause <= plan.limits.maxPauseSeconds
    let elapsed = Double(elapsedNanoseconds) / 1e9
    stopSeconds = pause
    if let most = plan.limits.maxSeconds, elapsed + pause > most {
      attempts = 0
      if isShortEnough || plan.limits.allowsNonconvergence { return .stop(pauseSeconds: pause) }
      return .giveUp(.takesTooLong(seconds: elapsed + expected(dirtied).seconds, maxSeconds: most))
    }
    let verdict = rule.decide(
      pause: pause, next: Forecast.pauseAfterAnother(dirtied, facts, slowness),
      promise: Forecast.pauseAtQuietMoment(dirtied, facts, slowness))
    if isShortEnough {
      strikes = 0
      return verdict == .another ? .another : .stop(pauseSeconds: pause)
    }
    if expected(dirtied).converges {
      strikes = 0
      return .another
    }
    if strikes == 0 || Double(dirtied.total) < Double(anchor) * 0.9 {
      strikes = 0
      anchor = dirtied.total
    }
    strikes += 1
    guard strikes >= Self.patience || round >= Forecast.mostRounds else { return .another }
    if plan.limits.allowsNonconvergence { return .stop(pauseSeconds: pause) }
    return .giveUp(
      Forecast.obstacle(pauseSeconds: pause, facts: facts, limits: plan.limits, slowness: slowness))
  }

  /// Decides once the guest stands still, by what it has really left to send.
  ///
  /// Between the last look at its pages and its stop it may have written a burst of them. To let it run on costs a
  /// short stop and another round; the pause would be several times as long as was expected. So it happens where that
  /// is so, or where the pause would break its limit, and three times at most: a guest that does so again and again
  /// would never leave.
  ///
  /// - Parameter leaving: Pages that the pause would have to send.
  public mutating func guestStopped(leaving: PageCounts) -> MigrationStop {
    let pause = Forecast.pause(leaving, facts, slowness)
    let limit = plan.limits.maxPauseSeconds
    let isFarLonger = pause > max(2 * stopSeconds, stopSeconds + Self.negligibleSeconds)
    guard attempts > 0, isFarLonger || pause > limit && stopSeconds <= limit else { return .stands }
    attempts -= 1
    return .runsOn
  }

  /// Stopping in vain is not worth less.
  private static let negligibleSeconds = 0.005

  /// Tells where a round under way stands.
  ///
  /// - Parameters:
  ///   - sent: What the round has sent so far.
  ///   - round: What it has to send in all.
  ///   - nanoseconds: For how long it has lasted.
  ///   - elapsedNanoseconds: Since the first round began.
  public func progress(
    sent: PageCounts, of round: PageCounts, nanoseconds: UInt64, elapsedNanoseconds: UInt64
  ) -> MigrationProgress {
    let seconds = Double(nanoseconds) / 1e9
    let remaining = round - sent
    var now = self
    // Nothing was waited for yet but the path's begin.
    let begin = self.round == 0 ? max(0, facts.startSeconds - facts.roundTripSeconds) : 0
    // Half a second says more about this round than the rounds before it.
    if seconds >= 0.5 && sent.total >= 64 { now.learn(sent, seconds - begin) }
    let forecast = now.expected(remaining, spent: seconds)
    let rate = seconds > 0.1 ? Double(sent.total) / seconds : facts.rates.pagesPerSecond(of: round) / slowness
    return MigrationProgress(
      pagesRemaining: remaining.total, pagesPerSecond: rate, dirtyPagesPerSecond: facts.dirty.pagesPerSecond,
      expectedSeconds: forecast.seconds, expectedPauseSeconds: forecast.pauseSeconds,
      willConverge: forecast.converges, isOverTime: isOverTime(elapsedNanoseconds: elapsedNanoseconds))
  }

  /// Whether it takes longer than it may.
  public func isOverTime(elapsedNanoseconds: UInt64) -> Bool {
    plan.limits.maxSeconds.map { Double(elapsedNanoseconds) / 1e9 > $0 } ?? false
  }

  private func expected(_ pages: PageCounts, spent: Double = 0) -> Forecast {
    Forecast.expect(
      sending: pages, isFirst: round == 0, spentSeconds: spent, facts: facts, slowness: slowness, rule: rule)
  }

  /// Corrects the rates by what pages of the round under way really took, without what a round takes besides.
  private mutating func learn(_ sent: PageCounts, _ took: Double) {
    guard sent.total >= 16, took > 0 else { return }
    let said = round == 0 ? facts.rates.seconds(for: sent) : facts.secondsAlone(for: sent)
    guard said > 0, said.isFinite else {
      facts.rates.linkBytesPerSecond = Double(TransferRates.wireBytes(of: sent)) / took
      return
    }
    // Few pages tell little about many.
    let trust = sent.total >= 1024 ? 0.8 : 0.4
    slowness = min(max(slowness * (1 - trust) + took / said * trust, 0.05), 20)
  }
}
