package import Crypto
import CryptoExtras
package import SEVABI

/// The session of LAUNCH_START, SEND_START and RECEIVE_START, 128 bytes: a guest's transport keys, wrapped
/// for one platform's Diffie-Hellman key, and a code over the guest's policy.
package enum SessionBlob {
  package static let byteCount = 128
  static let nonce = 0..<16
  static let wrappedKeys = 16..<48
  static let wrapVector = 48..<64
  static let wrapCode = 64..<96
  static let policyCode = 96..<128

  /// Wraps the keys.
  ///
  /// - Parameters:
  ///   - secret: TEK, then TIK. Wiped; they live on in the answer.
  ///   - sharedSecret: The X coordinate that the two Diffie-Hellman keys agree on.
  ///   - nonce: 16 bytes; so is `vector`.
  package static func seal(
    _ secret: inout [UInt8], sharedSecret: SymmetricKey, nonce: [UInt8], vector: [UInt8],
    policy: GuestPolicy
  ) throws(FirmwareStatus) -> (blob: [UInt8], keys: TransportKeys) {
    let wrapping = KeyDerivation.wrappingKeys(sharedSecret: sharedSecret, nonce: nonce)
    let wrapped = try applyCounterMode(to: secret, key: wrapping.encryption, vector: vector)
    let wrapCode = HMAC<SHA256>.authenticationCode(for: wrapped, using: wrapping.integrity)
    let keys = TransportKeys(takingFrom: &secret)
    let policyCode = HMAC<SHA256>.authenticationCode(
      for: littleEndianBytes(policy.rawValue), using: keys.integrityKey)
    return (nonce + wrapped + vector + Array(wrapCode) + Array(policyCode), keys)
  }

  /// Unwraps the keys; BAD_MEASUREMENT if they were not wrapped with this shared secret.
  ///
  /// - Precondition: `blob` is ``byteCount`` long.
  package static func open(
    _ blob: [UInt8], sharedSecret: SymmetricKey
  ) throws(FirmwareStatus) -> TransportKeys {
    let wrapping = KeyDerivation.wrappingKeys(sharedSecret: sharedSecret, nonce: Array(blob[nonce]))
    let wrapped = Array(blob[wrappedKeys])
    let isAuthentic = HMAC<SHA256>.isValidAuthenticationCode(
      blob[wrapCode], authenticating: wrapped, using: wrapping.integrity)
    guard isAuthentic else { throw .badMeasurement }
    var secret = try applyCounterMode(
      to: wrapped, key: wrapping.encryption, vector: blob[wrapVector], isSecret: true)
    return TransportKeys(takingFrom: &secret)
  }

  /// What the firmware calls verifying the policy: its code, then the version that it asks for, then the
  /// bits that must be zero.
  static func verify(
    _ policy: GuestPolicy, in blob: [UInt8], keys: TransportKeys, version: FirmwareVersion
  ) throws(FirmwareStatus) {
    let isAuthentic = HMAC<SHA256>.isValidAuthenticationCode(
      blob[policyCode], authenticating: littleEndianBytes(policy.rawValue), using: keys.integrityKey)
    guard isAuthentic else { throw .badMeasurement }
    let needed = policy.minimumAPI
    guard (needed.major, needed.minor) <= (version.major, version.minor) else { throw .policyFailure }
    guard policy.isDisjoint(with: .reserved) else { throw .policyFailure }
  }
}

/// AES-128 in counter mode, which is its own inverse. `vector` is the first counter block, big-endian.
///
/// - Parameter isSecret: Whether the result is one that no copy may be left of, in the library's buffer
///   either. That takes longer than the cipher does, so it is for keys and not for pages.
func applyCounterMode(
  to bytes: [UInt8], key: SymmetricKey, vector: some Collection<UInt8>, isSecret: Bool = false
) throws(FirmwareStatus) -> [UInt8] {
  guard let nonce = try? AES._CTR.Nonce(nonceBytes: vector),
    var output = try? AES._CTR.encrypt(bytes, using: key, nonce: nonce)
  else { throw .hardwareErrorPlatform }
  defer { if isSecret { wipe(&output) } }
  return Array(output)
}
