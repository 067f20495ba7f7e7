/// Where a sidecar listens: a DNS name or an address, and a TCP port.
public struct HostAddress: Hashable, Sendable, CustomStringConvertible {
  /// A DNS name, an IPv4 address, or an IPv6 address without brackets.
  public let host: String
  /// A TCP port.
  public let port: UInt16

  /// The port of baton-remote.
  public static let defaultPort: UInt16 = 4646

  /// A place.
  public init(host: String, port: UInt16 = defaultPort) {
    self.host = host
    self.port = port
  }

  /// Reads `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`; nil when it is none of these.
  public init?(parsing text: String) {
    let host: Substring
    let rest: Substring
    if text.hasPrefix("[") {
      guard let end = text.firstIndex(of: "]") else { return nil }
      host = text[text.index(after: text.startIndex)..<end]
      rest = text[text.index(after: end)...]
      guard Self.isIPv6(host) else { return nil }
    } else {
      let colon = text.firstIndex(of: ":") ?? text.endIndex
      host = text[..<colon]
      rest = text[colon...]
      guard Self.isName(host) else { return nil }
    }
    self.host = host.lowercased()
    if rest.isEmpty {
      port = Self.defaultPort
    } else {
      guard rest.first == ":", let port = UInt16(rest.dropFirst()), port > 0,
        rest.dropFirst().allSatisfy({ ("0"..."9").contains($0) })
      else { return nil }
      self.port = port
    }
  }

  /// As it is written: the port always, brackets around IPv6.
  public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  /// Whether it is an address, so that there is no name to be looked up.
  public var isAddress: Bool {
    if host.contains(":") { return true }
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
  }

  /// Letters, digits, dots and hyphens, as in a DNS name (RFC 1123) or an IPv4 address.
  private static func isName(_ text: Substring) -> Bool {
    guard (1...253).contains(text.utf8.count) else { return false }
    return text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
      (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
        && label.utf8.allSatisfy { isAlphanumeric($0) || $0 == UInt8(ascii: "-") }
    }
  }

  private static func isIPv6(_ text: Substring) -> Bool {
    (2...45).contains(text.utf8.count) && text.contains(":")
      && text.utf8.allSatisfy {
        Character(UnicodeScalar($0)).isHexDigit || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".")
      }
  }

  private static func isAlphanumeric(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    case _: false
    }
  }
}
