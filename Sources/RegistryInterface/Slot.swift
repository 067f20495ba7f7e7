/// One of the two units that the VMMs of a guest live in by turns, `baton-vmm-a@NAME.service` and
/// `baton-vmm-b@NAME.service`.
public enum Slot: String, Codable, Hashable, Sendable, CaseIterable {
  case a
  case b

  /// Where the successor of a VMM in this slot lives.
  public var other: Slot {
    switch self {
    case .a: .b
    case .b: .a
    }
  }

  /// The unit of a guest's VMM in this slot, its suffix included: a guest may be named `x.service`.
  public func unit(of guest: String) -> String { "baton-vmm-\(rawValue)@\(guest).service" }
}

/// What the name of a slot's unit says.
public struct SlotUnit: Hashable, Sendable {
  /// Which slot.
  public let slot: Slot
  /// The guest whose VMM it is.
  public let guest: String

  /// Nil when `unit` is not the unit of a slot. Whether the instance is a name that a guest can have is
  /// not looked at.
  ///
  /// - Parameter unit: A whole name, such as `baton-vmm-a@vm1.service`.
  public init?(_ unit: String) {
    for slot in Slot.allCases {
      let prefix = "baton-vmm-\(slot.rawValue)@"
      guard unit.hasPrefix(prefix), unit.hasSuffix(Self.suffix),
        unit.utf8.count > prefix.utf8.count + Self.suffix.utf8.count
      else { continue }
      self.slot = slot
      guest = String(unit.dropFirst(prefix.count).dropLast(Self.suffix.count))
      return
    }
    return nil
  }

  private static let suffix = ".service"
}

/// A slot that is refused until an operator asks for an upgrade.
public struct BarredSlot: Codable, Hashable, Sendable {
  /// Which slot.
  public var slot: Slot
  /// Which process brought that about, and how: one clause without a full stop.
  public var sentence: String
  /// Since when, in microseconds since 1970 (`CLOCK_REALTIME`).
  public var sinceRealtimeMicroseconds: UInt64

  /// A slot, and why it is refused.
  public init(slot: Slot, sentence: String, sinceRealtimeMicroseconds: UInt64) {
    self.slot = slot
    self.sentence = sentence
    self.sinceRealtimeMicroseconds = sinceRealtimeMicroseconds
  }
}
