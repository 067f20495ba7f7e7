import SEVABI

/// The policy that the owner of a guest sets at its launch, as people write it: a hexadecimal number.
public struct SEVPolicyBits: Hashable, Sendable {
  let policy: GuestPolicy

  /// No demands.
  public init() { policy = [] }

  /// - Parameter text: Up to 8 digits, with or without `0x`; nil for anything else.
  public init?(text: String) {
    let digits = text.hasPrefix("0x") ? text.dropFirst(2) : text[...]
    guard digits.allSatisfy(\.isHexDigit), let bits = UInt32(digits, radix: 16) else { return nil }
    policy = GuestPolicy(rawValue: bits)
  }
}
