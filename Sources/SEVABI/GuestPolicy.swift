/// The policy of a guest, set by its owner at launch and kept by the firmware.
public struct GuestPolicy: OptionSet, Hashable, Sendable {
  public let rawValue: UInt32

  public init(rawValue: UInt32) {
    self.rawValue = rawValue
  }

  /// NODBG: DBG_DECRYPT and DBG_ENCRYPT are refused.
  public static let noDebugging = GuestPolicy(rawValue: 1 << 0)
  /// NOKS: the key may not be shared with another guest.
  public static let noKeySharing = GuestPolicy(rawValue: 1 << 1)
  /// ES: register state is encrypted too.
  public static let encryptedState = GuestPolicy(rawValue: 1 << 2)
  /// NOSEND: the guest may not be sent to another machine. Moves on one machine are not concerned.
  public static let noSending = GuestPolicy(rawValue: 1 << 3)
  /// DOMAIN: the receiving machine must have the same owner certificate.
  public static let sameDomain = GuestPolicy(rawValue: 1 << 4)
  /// SEV: the receiving machine must prove a genuine AMD chain.
  public static let genuinePlatform = GuestPolicy(rawValue: 1 << 5)

  /// Bits 6 to 15, which must be zero when the firmware verifies a policy.
  public static let reserved = GuestPolicy(rawValue: 0xFFC0)

  /// The oldest firmware API that may run the guest.
  public var minimumAPI: (major: UInt8, minor: UInt8) {
    (UInt8(truncatingIfNeeded: rawValue >> 16), UInt8(truncatingIfNeeded: rawValue >> 24))
  }
}
