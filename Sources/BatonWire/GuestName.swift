/// The name of a guest: `[A-Za-z0-9][A-Za-z0-9_.-]{0,62}`, so that it can be an instance of a unit,
/// part of a descriptor's name and of a path.
public struct GuestName: Hashable, Sendable, Comparable, CustomStringConvertible {
  public let text: String

  /// Nil when `text` is no name of a guest.
  public init?(_ text: String) {
    let bytes = Array(text.utf8)
    guard (1...63).contains(bytes.count), Self.isAlphanumeric(bytes[0]) else { return nil }
    guard bytes.allSatisfy({ Self.isAlphanumeric($0) || "_.-".utf8.contains($0) }) else { return nil }
    self.text = text
  }

  public var description: String { text }
  public static func < (a: GuestName, b: GuestName) -> Bool { a.text < b.text }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: false
    }
  }
}
