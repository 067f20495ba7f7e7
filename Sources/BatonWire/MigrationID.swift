/// The number of one migration of a guest to another host: 16 random bytes, not secret.
///
/// The source's registry makes it; both registries, both VMMs and people call the migration by it, written as 32
/// hexadecimal digits.
public struct MigrationID: Hashable, Sendable, CustomStringConvertible {
  public static let byteCount = 16

  public let bytes: [UInt8]

  /// Nil when there are not exactly ``byteCount`` bytes.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  /// Nil when `text` is not 32 hexadecimal digits, small or capital.
  public init?(hexadecimal text: String) {
    guard let bytes = Hexadecimal.bytes(of: text) else { return nil }
    self.init(bytes)
  }

  /// 32 small hexadecimal digits.
  public var hexadecimal: String { Hexadecimal.text(of: bytes) }
  public var description: String { hexadecimal }
}

/// What an arrival is locked with: the SHA-256 of `baton departure receipt`, the migration's id and the receipt. Not
/// secret; who knows it learns nothing of the receipt.
public struct DepartureLock: Hashable, Sendable, CustomStringConvertible {
  public static let byteCount = 32

  public let bytes: [UInt8]

  /// Nil when there are not exactly ``byteCount`` bytes.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  /// 64 small hexadecimal digits.
  public var hexadecimal: String { Hexadecimal.text(of: bytes) }
  public var description: String { hexadecimal }
}

/// Bytes as text of two digits each.
public enum Hexadecimal {
  /// Small digits.
  public static func text(of bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    text.reserveCapacity(2 * bytes.count)
    for byte in bytes {
      text.append(digits[Int(byte >> 4)])
      text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
  }

  /// Nil when there is an odd number of characters or one that is no hexadecimal digit.
  public static func bytes(of text: String) -> [UInt8]? {
    let digits = Array(text.utf8)
    guard digits.count.isMultiple(of: 2) else { return nil }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(digits.count / 2)
    for index in stride(from: 0, to: digits.count, by: 2) {
      guard let high = value(of: digits[index]), let low = value(of: digits[index + 1]) else { return nil }
      bytes.append(high << 4 | low)
    }
    return bytes
  }

  private static func value(of digit: UInt8) -> UInt8? {
    switch digit {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
    default: nil
    }
  }
}
