import RegistryInterface

/// Whether an upgrade that did not come about is to be tried by moving the guest to another host.
enum FallbackDecision: Hashable {
  /// The local way was refused, for this reason.
  case move(reason: String)
  /// It was not refused, or there is nothing to move.
  case leave(why: String)

  /// - Parameters:
  ///   - attempt: What was seen.
  ///   - report: What the registry says after it.
  init(_ attempt: UpgradeEnd, _ report: GuestReport) {
    guard report.end == .stayed else {
      self = .leave(why: report.end == .upgraded ? "it was upgraded here" : "the guest does not run here")
      return
    }
    guard let failure = attempt.failure else {
      self = .leave(why: "nothing was refused")
      return
    }
    if let refusal = attempt.handoff?.refusal {
      // A process that crashed or was slow is no answer of the host; it is mended, not fled from.
      self =
        Self.accidents.contains(refusal.name)
        ? .leave(why: "it was not refused, it failed (\(refusal.name))")
        : .move(reason: "\(refusal.name): \(MigrationEnd.cause(of: refusal))")
    } else if failure.isRefusal {
      self = .move(reason: "\(failure.whatFailed): \(failure.cause)")
    } else {
      self = .leave(why: "it was not refused, it failed: \(failure.cause)")
    }
  }

  /// Refusals that say nothing about whether this host could do it.
  static let accidents: Set<String> = [
    "abortedByOperator", "peerDied", "peerDisconnected", "deadlinePassed", "secondSuccessor", "secondOwner",
    "migrationUnderWay", "settling",
  ]
}
