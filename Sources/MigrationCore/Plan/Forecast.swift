/// The rounds that are still to come, played through.
struct Forecast: Hashable, Sendable {
  /// Rounds until the guest is stopped.
  let rounds: Int
  /// From now until the guest runs at the target.
  let seconds: Double
  /// The pause; if it does not converge the shortest that can be reached.
  let pauseSeconds: Double
  /// Whether the pause comes below its limit.
  let converges: Bool

  /// Plays through whatever the guest may do: it may be at any moment of what was seen of it.
  ///
  /// - Parameters:
  ///   - pages: What the round under way still has to send.
  ///   - isFirst: Whether this is the first round, which the path begins with.
  ///   - spentSeconds: For how long this round has lasted already.
  ///   - facts: Pages, rates and what the guest writes.
  ///   - slowness: By how much longer rounds take than the rates say.
  ///   - rule: When to stop; as it stands now.
  /// - Returns: The end with the middle one of all pauses.
  static func expect(
    sending pages: PageCounts, isFirst: Bool, spentSeconds: Double, facts: MigrationFacts, slowness: Double,
    rule: StopRule
  ) -> Forecast {
    let ends = facts.trace.starts.map { start in
      Forecast(
        sending: pages, isFirst: isFirst, spentSeconds: spentSeconds, facts: facts, slowness: slowness,
        rule: rule, from: start)
    }
    return ends.sorted { $0.pauseSeconds < $1.pauseSeconds }[ends.count / 2]
  }

  /// - Parameter start: Where in what was seen of the guest.
  private init(
    sending pages: PageCounts, isFirst: Bool, spentSeconds: Double, facts: MigrationFacts, slowness: Double,
    rule: StopRule, from start: Double
  ) {
    var rule = rule
    var round = pages
    var lasted = spentSeconds
    var total = 0.0
    var count = 0
    var at = start
    while true {
      count += 1
      let took =
        count == 1 && isFirst
        ? Self.firstRound(pages, spentSeconds, facts, slowness) : Self.round(round, facts, slowness)
      total += took
      lasted += took
      let dirtied = facts.dirtied(from: at, seconds: lasted)
      if lasted.isFinite { at += lasted }
      let pause = Self.pause(dirtied, facts, slowness)
      let verdict =
        count < Self.mostRounds && total.isFinite
        ? rule.decide(
          pause: pause, next: Self.pauseAfterAnother(dirtied, facts, slowness),
          promise: Self.pauseAtQuietMoment(dirtied, facts, slowness)) : .stalled
      switch verdict {
      case .another:
        round = dirtied
        lasted = 0
      case .stop, .stalled:
        rounds = count
        seconds = total + pause
        pauseSeconds = pause
        converges = verdict == .stop
        return
      }
    }
  }

  /// A migration whose rounds shrink so slowly is one that does not come to an end.
  static let mostRounds = 500

  /// What is left of the first round.
  private static func firstRound(
    _ pages: PageCounts, _ spentSeconds: Double, _ facts: MigrationFacts, _ slowness: Double
  ) -> Double {
    let start = max(facts.startSeconds - spentSeconds, facts.roundTripSeconds)
    return facts.rates.seconds(for: pages) * slowness + start + facts.logSeconds
  }

  /// A later round.
  private static func round(_ pages: PageCounts, _ facts: MigrationFacts, _ slowness: Double) -> Double {
    facts.secondsAlone(for: pages) * slowness + facts.roundOverheadSeconds
  }

  /// The pause if the guest were stopped with these pages to send.
  static func pause(_ dirtied: PageCounts, _ facts: MigrationFacts, _ slowness: Double) -> Double {
    facts.secondsAlone(for: dirtied) * slowness + facts.endSeconds
  }

  /// The pause after these pages were sent in a round of their own.
  static func pauseAfterAnother(_ dirtied: PageCounts, _ facts: MigrationFacts, _ slowness: Double) -> Double
  {
    let lasts = round(dirtied, facts, slowness)
    return pause(facts.kinds(facts.dirty.pages(inSeconds: lasts)), facts, slowness)
  }

  /// The pause after these pages were sent in a round of their own, as one of five moments would have it, or a better
  /// one.
  static func pauseAtQuietMoment(_ dirtied: PageCounts, _ facts: MigrationFacts, _ slowness: Double) -> Double
  {
    let lasts = round(dirtied, facts, slowness)
    let pauses = facts.trace.starts.map { pause(facts.dirtied(from: $0, seconds: lasts), facts, slowness) }
    return pauses.sorted()[pauses.count / 5]
  }

  /// Why the pause stays above its limit.
  static func obstacle(
    pauseSeconds: Double, facts: MigrationFacts, limits: MigrationLimits, slowness: Double
  ) -> MigrationObstacle {
    let room = limits.maxPauseSeconds - facts.endSeconds
    guard room > 0 else {
      return .endTooSlow(pauseSeconds: facts.endSeconds, maxPauseSeconds: limits.maxPauseSeconds)
    }
    let dirtied = facts.dirty.pages(inSeconds: room)
    let moved = facts.rates.pagesPerSecond(of: facts.kinds(max(1000, dirtied))) / slowness
    return .dirtiesFaster(
      dirtyPagesPerSecond: dirtied / room, movedPagesPerSecond: moved, pauseSeconds: pauseSeconds,
      maxPauseSeconds: limits.maxPauseSeconds)
  }
}
