/// When the guest is stopped for the last round. The plan and the running migration go by the same rule.
struct StopRule: Hashable, Sendable {
  enum Verdict: Hashable, Sendable {
    /// Another round.
    case another
    /// Stop the guest now.
    case stop
    /// Another round would not help.
    case stalled
  }

  let maxPauseSeconds: Double
  private var polished = 0
  /// The shortest pause that there was to be had, and rounds in a row that have not made it shorter.
  private var shortest = Double.infinity
  private var vain = 0

  init(maxPauseSeconds: Double) {
    self.maxPauseSeconds = maxPauseSeconds
  }

  /// Once the pause is short enough, a few more rounds, no longer than such a pause each, still shorten it, and make
  /// it one that can be foretold: where the rounds happen to cross the limit is chance.
  static let polishingRounds = 8
  /// One such round may have been bad luck; after so many in a row what is promised of the next one is not believed.
  static let patience = 2

  /// - Parameters:
  ///   - pause: The pause if the guest were stopped now.
  ///   - next: The pause after another round.
  mutating func decide(pause: Double, next: Double) -> Verdict {
    guard pause <= maxPauseSeconds else { return next < pause * 0.99 ? .another : .stalled }
    vain = pause < shortest * 0.8 ? 0 : vain + 1
    shortest = min(shortest, pause)
    guard polished < Self.polishingRounds, vain < Self.patience, next < pause * 0.8 else { return .stop }
    polished += 1
    return .another
  }
}
