import BatonWire

/// Above which numbers guests go on that begin now: no epoch and no handoff of a guest that was
/// forgotten is used again.
public struct ForgottenNumbers: Hashable, Sendable {
  /// The highest epoch of a forgotten guest, 0 if none was forgotten.
  public var epoch: UInt64
  /// The highest handoff number of a forgotten guest.
  public var handoff: UInt64

  public init(epoch: UInt64 = 0, handoff: UInt64 = 0) {
    self.epoch = epoch
    self.handoff = handoff
  }

  /// Takes up what a guest had used.
  ///
  /// Numbers beyond all counting were a VMM's own claim to a registry without journal. Going on from those
  /// would let one VMM take the numbers away from all guests.
  mutating func include(_ record: GuestRecord) {
    if record.epoch <= Self.largest { epoch = max(epoch, record.epoch) }
    if record.handoff <= Self.largest { handoff = max(handoff, record.handoff) }
  }

  private static let largest = Standing.largestNumber / 2
}
