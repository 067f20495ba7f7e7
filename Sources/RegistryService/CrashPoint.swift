import BatonCore
import LinuxOS

/// Places where a test may kill the registry, as `kill -9` would.
///
/// The environment `BATON_CRASH_AT=point` or `point:n` chooses one of them, and the how-manieth time it is
/// passed. Without the variable nothing of this does anything.
public enum CrashPoint: String, CaseIterable, Sendable {
  /// The number of an attempt is in the journal, nobody knows of it.
  case afterJournalAttempt
  /// The source was asked for its offer.
  case afterPrepareSent
  /// The offer is in custody, the successor does not have it.
  case afterOfferKept
  /// The successor has the offer.
  case afterOfferedSent
  /// The source was told to stop the guest.
  case afterFreezeSent
  /// The source has staged, the journal does not say so.
  case beforeJournalStaged
  /// The journal says staged, nobody has the baton.
  case afterJournalStaged
  /// The journal says claimed, the claim was not sent.
  case afterJournalClaimed
  /// The baton went out.
  case afterClaimSent
  /// The successor has the context, the journal does not say so.
  case beforeJournalCommit
  /// The commit point is passed, no verdict was sent.
  case afterJournalCommit
  /// The owner was told to run the guest.
  case afterRunSent
  /// Somebody was told to let go.
  case afterReleaseSent
  /// The journal says that the source takes back, no order was sent.
  case afterJournalRollback
  /// The source was told to take back.
  case afterTakeBackSent
  /// The journal says that the source has the guest again, no verdict was sent.
  case afterJournalTakenBack
  /// A migration is in the journal, its VMM knows nothing of it.
  case afterJournalMigration
  /// The owner was told to migrate.
  case afterMigrateSent
  /// The owner may give the guest up, but was not told.
  case afterJournalDeparting
  /// The owner was told to give the guest up.
  case afterDepartSent
  /// The owner has given the guest up, the journal does not say so.
  case beforeJournalDeparted
  /// The journal says that the guest is another host's, and nobody was told.
  case afterJournalDeparted
  /// The journal says that the guest runs there.
  case afterJournalConfirmed
  /// A guest comes, and nobody was told.
  case afterJournalArriving
  /// All of it is here.
  case afterJournalArrived
  /// Its receipt was shown, the journal does not say so.
  case beforeJournalCame
  /// It may run, and its VMM was not told.
  case afterJournalCame
}

/// Which crash point is armed.
struct CrashSchedule {
  private let point: CrashPoint?
  private var left: Int

  /// - Parameter text: The variable's value; anything that names no point arms nothing.
  init(_ text: String?) {
    let parts = (text ?? "").split(separator: ":", maxSplits: 1)
    point = parts.first.flatMap { CrashPoint(rawValue: String($0)) }
    left = parts.count > 1 ? Int(parts[1]) ?? 1 : 1
  }

  /// Whether the variable was set to something that is no crash point.
  static func isMisspelled(_ text: String?) -> Bool {
    guard let text, !text.isEmpty else { return false }
    return CrashSchedule(text).point == nil
  }

  /// Ends the process if this is the place.
  mutating func reach(_ here: CrashPoint) {
    guard here == point else { return }
    left -= 1
    if left == 0 { ThisProcess.signalSelf(9) }
  }

  /// The points before and after an entry of the journal.
  static func points(
    of record: GuestRecord, after before: GuestRecord?
  ) -> (before: CrashPoint?, after: CrashPoint?) {
    switch record.phase {
    case .staged: return (.beforeJournalStaged, .afterJournalStaged)
    case .claimed: return (nil, .afterJournalClaimed)
    case .rollback: return (nil, .afterJournalRollback)
    case .departing: return (nil, .afterJournalDeparting)
    case .departed:
      return record.migration?.course == .confirmed
        ? (nil, .afterJournalConfirmed) : (.beforeJournalDeparted, .afterJournalDeparted)
    case .arriving:
      return before?.phase == .arriving && before?.migration != record.migration
        ? (nil, .afterJournalArrived) : (nil, .afterJournalArriving)
    case .idle where before?.phase == .arriving: return (.beforeJournalCame, .afterJournalCame)
    case .idle
    where record.migration != nil && before?.phase == .idle && before?.migration != record.migration:
      return (nil, .afterJournalMigration)
    case .idle:
      guard let before else { return (nil, nil) }
      if record.epoch > before.epoch {
        return record.owner == before.owner
          ? (nil, .afterJournalTakenBack) : (.beforeJournalCommit, .afterJournalCommit)
      }
      return record.handoff > before.handoff ? (nil, .afterJournalAttempt) : (nil, nil)
    case .lost, .ended: return (nil, nil)
    }
  }
}
