import RegistryInterface

/// A line of `upgrade --json`.
struct UpgradeLine: Encodable {
  enum Kind: String, Encodable {
    /// A reply of the registry.
    case progress
    /// The end for one guest, as it was seen.
    case end
    /// The end of all, as the registry tells it after the run.
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
  /// In `end`: the error line.
  var error: String?
  /// In `end`.
  var handoff: Handoff?
  /// In `report`: how many guests are at a new owner, how many are not though it was tried, and how many were
  /// not tried.
  var committed: Int?
  var failed: Int?
  var notTried: Int?
  /// In `report`: how many guests came to each end.
  var ends: [String: Int]?
  /// In `report`: every guest.
  var guests: [GuestReport]?
  /// In `report`: why the registry could not be asked after the run.
  var truthMissing: String?
}
