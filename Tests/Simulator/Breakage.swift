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
}
