/// The rules for names in Varlink (UAPI.20).
enum InterfaceName {
  /// Whether this is a reverse-domain name: at least two segments of letters, digits and inner dashes, the
  /// first of which begins with a letter.
  static func isInterface(_ name: some StringProtocol) -> Bool {
    let segments = name.split(separator: ".", omittingEmptySubsequences: false)
    guard segments.count >= 2, name.utf8.count <= 255, let first = segments.first?.first else { return false }
    return first.isASCII && first.isLetter && segments.allSatisfy { isSegment(String($0)) }
  }

  /// Whether this names a method, type or error: a capital, then letters and digits.
  static func isMember(_ name: some StringProtocol) -> Bool {
    guard let first = name.utf8.first, (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first) else {
      return false
    }
    return name.utf8.allSatisfy(isAlphanumeric)
  }

  /// Whether this names a field: a letter, then letters and digits, with single underscores between.
  static func isField(_ name: some StringProtocol) -> Bool {
    guard let first = name.utf8.first, isAlphanumeric(first), !isDigit(first) else { return false }
    let parts = name.utf8.split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
    return parts.allSatisfy { !$0.isEmpty && $0.allSatisfy(isAlphanumeric) }
  }

  /// Splits `interface.Method`.
  static func split(_ name: String) -> (interface: String, member: String)? {
    guard let dot = name.lastIndex(of: ".") else { return nil }
    let interface = name[..<dot]
    let member = name[name.index(after: dot)...]
    guard isInterface(interface), isMember(member) else { return nil }
    return (String(interface), String(member))
  }

  private static func isSegment(_ segment: String) -> Bool {
    guard let first = segment.utf8.first, let last = segment.utf8.last else { return false }
    return isAlphanumeric(first) && isAlphanumeric(last)
      && segment.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
  }

  private static func isDigit(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    isDigit(byte) || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
      || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
  }
}
