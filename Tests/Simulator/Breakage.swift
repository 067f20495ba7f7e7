import BatonWire

/// Ways to break the protocol on purpose, in the harness around the machines: each must be found.
enum Breakage: String, CaseIterable {
  /// A journal entry is not written.
  case dropJournalWrite
  /// Somebody else gets the baton too.
  case giveBatonTwice
  /// A VMM that waits for its verdict enters the guest when its registry is gone.
  case resumeWithoutVerdict
  /// A deadline is taken for a death.
  case resumeAfterGuessingDeath
  /// `received` of a dead successor counts.
  case commitToDeadSuccessor
  /// A renewed connection begins without the record that says where the VMM stands.
  case forgetStanding
  /// An old connection's records are processed after the new one's first, at both ends.
  case deliverStaleRecords
  /// A process is seen dead before what it had sent was processed.
  case dieBeforeDrain
  /// Nobody is ended.
  case skipFence
  /// Custody is emptied as soon as the baton was given out.
  case emptyCustodyEarly
  /// A registry that lost its journal gives out numbers from 1 again.
  case reuseNumbers
  /// A source goes on by itself although `stage` has left it.
  case goOnAfterStage
  /// A source that is to take back runs in its old VM when the context is still there, instead of moving it
  /// into one that nobody else has a descriptor of (way `move`).
  case trustOldVM
  /// A claimant gets the take-back VM of a source that lives (way `move`).
  case giveTakeBackVM
  /// Whoever takes next does not get the VMs of the dead (way `move`).
  case forgetDeadVMs
  /// An owner that asked to be parked is released as soon as it is told to freeze.
  case releaseBeforeStaged
  /// The journal does not say that the owner of a parked guest was let go.
  case forgetReleasedOwner

  /// The only way in which it breaks anything; nil for those that break any.
  var way: Way? {
    switch self {
    case .trustOldVM, .giveTakeBackVM, .forgetDeadVMs: .move
    case .forgetReleasedOwner: Way.none
    case .dropJournalWrite, .giveBatonTwice, .resumeWithoutVerdict, .resumeAfterGuessingDeath,
      .commitToDeadSuccessor, .forgetStanding, .deliverStaleRecords, .dieBeforeDrain, .skipFence,
      .emptyCustodyEarly, .reuseNumbers, .goOnAfterStage, .releaseBeforeStaged:
      nil
    }
  }

  /// Whether it shows only where owners ask to be parked.
  var isOfParking: Bool { self == .releaseBeforeStaged || self == .forgetReleasedOwner }
}
