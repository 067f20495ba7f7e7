package import Crypto
package import SEVABI

/// What the firmware authenticates at LAUNCH_MEASURE, so that the owner knows what was launched, on which
/// firmware, under which policy.
package struct LaunchMeasurement {
  /// The context byte that tells a launch measurement from other authenticated messages.
  private static let context: UInt8 = 0x04

  package let version: FirmwareVersion
  package let policy: GuestPolicy
  /// SHA-256 over everything that LAUNCH_UPDATE_DATA measured.
  package let digest: [UInt8]
  /// 16 random bytes of the firmware.
  package let nonce: [UInt8]

  package init(version: FirmwareVersion, policy: GuestPolicy, digest: [UInt8], nonce: [UInt8]) {
    self.version = version
    self.policy = policy
    self.digest = digest
    self.nonce = nonce
  }

  /// HMAC-SHA256 under the transport integrity key, 32 bytes.
  package func authenticate(key: SymmetricKey) -> [UInt8] {
    var mac = HMAC<SHA256>(key: key)
    mac.update(data: [Self.context, version.major, version.minor, version.build])
    mac.update(data: littleEndianBytes(policy.rawValue))
    mac.update(data: digest)
    mac.update(data: nonce)
    return Array(mac.finalize())
  }
}
