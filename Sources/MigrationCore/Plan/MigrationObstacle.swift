/// Why a migration would not come to an end within its limits.
public enum MigrationObstacle: Hashable, Sendable {
  /// However many rounds there are, too many pages stay.
  ///
  /// - Parameters:
  ///   - dirtyPagesPerSecond: What the guest writes in a time as short as the pause may be.
  ///   - movedPagesPerSecond: What the path moves of that kind.
  ///   - pauseSeconds: The shortest pause that can be reached.
  ///   - maxPauseSeconds: The limit.
  case dirtiesFaster(
    dirtyPagesPerSecond: Double, movedPagesPerSecond: Double, pauseSeconds: Double, maxPauseSeconds: Double)
  /// What has to be done in the pause takes too long even without pages.
  case endTooSlow(pauseSeconds: Double, maxPauseSeconds: Double)
  /// It takes longer than it may.
  case takesTooLong(seconds: Double, maxSeconds: Double)

  /// One clause for people, without a full stop.
  public var sentence: String {
    switch self {
    case .dirtiesFaster(let dirty, let moved, let pause, let limit):
      "will not converge: the guest writes \(PlanText.count(dirty)) pages/s and \(PlanText.count(moved)) pages/s "
        + "can be moved; the pause would be \(PlanText.duration(pause)), above the limit of "
        + PlanText.duration(limit)
    case .endTooSlow(let pause, let limit):
      "will not converge: the end alone pauses the guest for \(PlanText.duration(pause)), above the limit of "
        + PlanText.duration(limit)
    case .takesTooLong(let seconds, let limit):
      "takes too long: \(PlanText.duration(seconds)), above the limit of \(PlanText.duration(limit))"
    }
  }
}
