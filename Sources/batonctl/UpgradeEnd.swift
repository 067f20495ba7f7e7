import RegistryInterface

/// How the upgrade of one guest ended, as far as it was followed.
struct UpgradeEnd {
  enum How {
    /// The handoff ended.
    case ended(Handoff, Guest)
    /// There was no handoff, or it is not followed to its end.
    case failed(CommandFailure)
    /// Too many earlier guests had failed.
    case notTried
  }

  let guest: String
  /// The guest before anything was done, if that is known.
  var before: Guest?
  let how: How
  /// What became of the successor that was started.
  var successorFailure: UnitStart.Failure?
  /// The owner by the registry's last word while it was followed.
  var lastOwner: VMMProcess?
  /// Whether the registry went away meanwhile; one that is back may have forgotten handoffs that had ended.
  var registryWasAway = false

  /// The handoff, if it is known.
  var handoff: Handoff? {
    switch how {
    case .ended(let handoff, _): handoff
    case .failed, .notTried: nil
    }
  }

  /// Why it did not commit.
  var failure: CommandFailure? {
    switch how {
    case .ended(let handoff, let guest):
      guard var failure = CommandFailure(handoff, guest) else { return nil }
      // An abort was our own doing, and says nothing.
      if let successorFailure, handoff.refusal == nil || handoff.refusal?.by == .operator {
        failure.cause = successorFailure.cause
      }
      return explained(failure)
    case .failed(let failure): return explained(failure)
    case .notTried: return nil
    }
  }

  /// The failure, and what the successor's start came to if it does not tell already.
  private func explained(_ failure: CommandFailure) -> CommandFailure {
    guard let successorFailure else { return failure }
    var failure = failure
    if !failure.cause.contains(successorFailure.cause) { failure.cause += ", \(successorFailure.cause)" }
    // The command that settles an alarm comes first.
    if failure.remedy?.hasPrefix("run: ") != true {
      failure.remedy = successorFailure.remedy ?? failure.remedy
    }
    return failure
  }

  /// The exit status if this were all that is known.
  var status: CommandStatus { failure?.status ?? .success }
}
