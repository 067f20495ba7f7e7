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

  /// Once the pause is short enough, more rounds, no longer than such a pause each, still shorten it, and make it one
  /// that can be foretold: where the rounds happen to cross the limit is chance. One that meets a burst of the guest's
  /// writes was bad luck; after so many in a row what is promised of the next one is not believed.
  static let polishingRounds = 12
  static let patience = 8
  /// What a round has to bring the pause down to, as a share.
  private static let worthwhile = 0.95

  /// - Parameters:
  ///   - pause: The pause if the guest were stopped now.
  ///   - next: The pause that is to be expected after another round.
  ///   - promise: The pause after another round at a quiet moment of the guest.
  mutating func decide(
    pause: Double, next: @autoclosure () -> Double, promise: @autoclosure () -> Double
  ) -> Verdict {
    guard pause <= maxPauseSeconds else { return next() < pause * 0.99 ? .another : .stalled }
    vain = pause < shortest * Self.worthwhile ? 0 : vain + 1
    shortest = min(shortest, pause)
    guard polished < Self.polishingRounds, vain < Self.patience, promise() < pause * Self.worthwhile else {
      return .stop
    }
    polished += 1
    return .another
  }
}
