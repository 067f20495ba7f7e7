import RegistryInterface

/// How the upgrade of one guest ended.
struct UpgradeEnd {
  enum How {
    /// The handoff ended; if our successor failed, that is the better cause.
    case ended(Handoff, Guest, String?)
    /// There was no handoff, or it is not followed to its end.
    case failed(CommandFailure)
    /// An earlier guest failed.
    case notTried
  }

  let guest: String
  let how: How

  /// The handoff, if it is known.
  var handoff: Handoff? {
    switch how {
    case .ended(let handoff, _, _): handoff
    case .failed, .notTried: nil
    }
  }

  /// Why it did not commit.
  var failure: CommandFailure? {
    switch how {
    case .ended(let handoff, let guest, let cause):
      var failure = CommandFailure(handoff, guest)
      if let cause { failure?.cause = cause }
      return failure
    case .failed(let failure): return failure
    case .notTried: return nil
    }
  }

  /// The exit status if this were the only guest.
  var status: CommandStatus { failure?.status ?? .success }

  /// A few words for the report.
  var words: String {
    switch how {
    case .ended(let handoff, _, _): handoff.outcome.words
    case .failed(let failure): failure.whatFailed
    case .notTried: "not tried"
    }
  }
}

/// A line of `upgrade --json`.
struct UpgradeLine: Encodable {
  enum Kind: String, Encodable {
    /// A reply of the registry.
    case progress
    /// The end for one guest.
    case end
    /// The end of all.
    case report
  }

  var type: Kind
  /// In `progress` and `end`.
  var guest: String?
  /// In `progress`.
  var reply: UpgradeReply?
  /// In `end`: committed, takenBack, …, or absent if there was no handoff.
  var outcome: Outcome?
  /// In `end` and `report`.
  var exitStatus: Int32?
  /// In `end`: the error line without the program's name.
  var error: String?
  /// In `end`.
  var handoff: Handoff?
  /// In `report`: how many guests committed, failed, and were not tried.
  var committed: Int?
  var failed: Int?
  var notTried: Int?
}
