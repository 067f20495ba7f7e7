public import Crypto
import CryptoExtras
package import SEVABI

/// The platform's Diffie-Hellman key (PDH), to which owners wrap the keys of their guests.
///
/// A model has no key that AMD's root signed, so it makes its own.
public struct PlatformIdentity: Sendable {
  private let key: P384.KeyAgreement.PrivateKey

  public init(key: P384.KeyAgreement.PrivateKey = P384.KeyAgreement.PrivateKey()) {
    self.key = key
  }

  /// The keys of a session.
  package struct SessionKeys {
    /// TEK.
    package let encryptionKey: [UInt8]
    /// TIK.
    package let integrityKey: [UInt8]
  }

  /// Layout of the session blob, 128 bytes.
  enum SessionBlob {
    static let byteCount = 128
    static let nonce = 0..<16
    static let wrappedKeys = 16..<48
    static let wrapInitializationVector = 48..<64
    static let wrapMAC = 64..<96
    static let policyMAC = 96..<128
  }

  /// Unwraps a session's keys and verifies the policy, in the firmware's order of checks.
  func openSession(
    _ session: [UInt8], certificate: [UInt8], policy: GuestPolicy, version: FirmwareVersion
  ) throws(FirmwareStatus) -> SessionKeys {
    guard session.count == SessionBlob.byteCount else { throw .invalidLength }
    guard certificate.count == DiffieHellmanCertificate.byteCount else { throw .invalidLength }
    guard let peer = DiffieHellmanCertificate(certificate)?.key,
      let shared = try? key.sharedSecretFromKeyAgreement(with: peer)
    else { throw .invalidCertificate }
    let keys = try Self.unwrap(session, sharedSecret: SymmetricKey(data: shared))
    let isPolicyAuthentic = HMAC<SHA256>.isValidAuthenticationCode(
      session[SessionBlob.policyMAC], authenticating: littleEndianBytes(policy.rawValue),
      using: SymmetricKey(data: keys.integrityKey))
    guard isPolicyAuthentic else { throw .badMeasurement }
    let needed = policy.minimumAPI
    guard (needed.major, needed.minor) <= (version.major, version.minor) else { throw .policyFailure }
    guard policy.isDisjoint(with: .reserved) else { throw .policyFailure }
    return keys
  }

  /// Derives the wrapping keys from the shared secret and takes TEK and TIK out of the session blob.
  package static func unwrap(
    _ session: [UInt8], sharedSecret: SymmetricKey
  ) throws(FirmwareStatus) -> SessionKeys {
    let master = deriveKey(
      from: sharedSecret, label: "sev-master-secret", context: Array(session[SessionBlob.nonce]))
    let keyEncryptionKey = deriveKey(from: master, label: "sev-kek")
    let keyIntegrityKey = deriveKey(from: master, label: "sev-kik")
    let wrapped = session[SessionBlob.wrappedKeys]
    let isAuthentic = HMAC<SHA256>.isValidAuthenticationCode(
      session[SessionBlob.wrapMAC], authenticating: wrapped, using: keyIntegrityKey)
    guard isAuthentic,
      let nonce = try? AES._CTR.Nonce(nonceBytes: session[SessionBlob.wrapInitializationVector]),
      let unwrapped = try? AES._CTR.decrypt(wrapped, using: keyEncryptionKey, nonce: nonce)
    else { throw .badMeasurement }
    let bytes = Array(unwrapped)
    return SessionKeys(encryptionKey: Array(bytes[..<16]), integrityKey: Array(bytes[16...]))
  }

  /// The key derivation of NIST SP 800-108 in counter mode with HMAC-SHA256, for 128 bits: one block.
  package static func deriveKey(from key: SymmetricKey, label: String, context: [UInt8] = []) -> SymmetricKey
  {
    let bitCount: UInt32 = 128
    var mac = HMAC<SHA256>(key: key)
    mac.update(data: littleEndianBytes(1))
    mac.update(data: Array(label.utf8))
    mac.update(data: [0])
    mac.update(data: context)
    mac.update(data: littleEndianBytes(bitCount))
    return SymmetricKey(data: Array(mac.finalize()).prefix(Int(bitCount / 8)))
  }
}
