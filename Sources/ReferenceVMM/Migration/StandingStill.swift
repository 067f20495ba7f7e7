/// What a VMM does otherwise while a migrating guest stands still, in nanoseconds. A pause that takes longer than that is
/// made of pages or of the way, and waking up does not matter.
enum StandingStill {
  /// How long the thread on which it depends does not sleep.
  static let awakeNanoseconds: UInt64 = 10_000_000
  /// How long nothing is written after the receipt: the guest waits for that alone, and logs want a processor that its
  /// way wants too.
  static let quietNanoseconds: UInt64 = 10_000_000
}
