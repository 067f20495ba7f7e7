import RegistryInterface

/// What an operator allows a migration to cost.
struct MigrationLimits: Hashable {
  /// As batond has it when nothing is said.
  var maxPauseMilliseconds: UInt32 = 300
  var maxTimeSeconds: UInt32?
  var bandwidthBytesPerSecond: UInt64?
  var allowsNonconvergence = false

  /// Whether a plan takes longer than that.
  func isTooSlow(_ plan: MigrationProgress) -> Bool {
    maxTimeSeconds.map { plan.expectedMilliseconds > UInt64($0) * 1000 } ?? false
  }

  /// Why a plan must not be tried, and what to do; nil when nothing speaks against it.
  func obstacle(_ plan: MigrationProgress) -> CommandFailure? {
    let failed = (plan.checks ?? []).filter { $0.verdict == .fail }
    if !failed.isEmpty {
      return CommandFailure(
        "nothing was tried", cause: failed.map { "\($0.name): \($0.detail)" }.joined(separator: ", "),
        guestState: Self.runsHere, remedy: failed.first?.remedy, status: .preflightFailed)
    }
    guard !allowsNonconvergence else { return nil }
    if !plan.willConverge {
      let pause = MigrationText.rough(milliseconds: plan.expectedPauseMilliseconds)
      let last = (plan.text ?? "").split(separator: "\n").last.map { String($0) }
      let isTold = last?.hasPrefix("will not converge") == true
      let own =
        "will not converge: the guest writes \(PlainText.grouped(plan.dirtyPagesPerSecond)) pages/s, "
        + "\(PlainText.grouped(plan.pagesPerSecond)) pages/s can be moved"
      return CommandFailure(
        "nothing was tried", cause: isTold ? last ?? own : own, guestState: Self.runsHere,
        remedy: "let the guest write less, or allow a pause of \(pause) with "
          + "--max-pause \(Self.generous(plan.expectedPauseMilliseconds))",
        status: .preflightFailed)
    }
    if isTooSlow(plan), let maxTimeSeconds {
      return CommandFailure(
        "nothing was tried",
        cause: "it would take \(MigrationText.rough(milliseconds: plan.expectedMilliseconds)), "
          + "--max-time allows \(MigrationText.rough(milliseconds: UInt64(maxTimeSeconds) * 1000))",
        guestState: Self.runsHere, remedy: "raise --max-time", status: .preflightFailed)
    }
    return nil
  }

  static let runsHere = "the guest still runs at the source"

  /// A limit with a little room above what was foretold.
  private static func generous(_ milliseconds: UInt64) -> UInt64 {
    (milliseconds + milliseconds / 5) / 100 * 100 + 100
  }
}
