/// How many pages of each kind.
public struct PageCounts: Hashable, Sendable {
  /// Pages that go through the firmware, as packets.
  public var encrypted: UInt64
  /// Pages that go as they are.
  public var plain: UInt64
  /// Pages of zeros, of which only the number goes.
  public var zero: UInt64

  /// Counts.
  public init(encrypted: UInt64 = 0, plain: UInt64 = 0, zero: UInt64 = 0) {
    self.encrypted = encrypted
    self.plain = plain
    self.zero = zero
  }

  /// All together.
  public var total: UInt64 { encrypted + plain + zero }

  /// Kind by kind.
  public static func + (left: PageCounts, right: PageCounts) -> PageCounts {
    PageCounts(
      encrypted: left.encrypted + right.encrypted, plain: left.plain + right.plain,
      zero: left.zero + right.zero)
  }

  /// Kind by kind, not below 0.
  public static func - (left: PageCounts, right: PageCounts) -> PageCounts {
    func difference(_ one: UInt64, _ other: UInt64) -> UInt64 { one > other ? one - other : 0 }
    return PageCounts(
      encrypted: difference(left.encrypted, right.encrypted), plain: difference(left.plain, right.plain),
      zero: difference(left.zero, right.zero))
  }
}
