import Crypto
import SEVABI
import SEVModel

/// A guest owner who wraps the keys of a session to a platform, as a tool on the owner's machine does.
struct SessionOwner {
  let platformKey = P384.KeyAgreement.PrivateKey()
  let ownKey = P384.KeyAgreement.PrivateKey()
  let encryptionKey = (0..<16).map { UInt8(0x60 + $0) }
  let integrityKey = (0..<16).map { UInt8(0x70 + $0) }

  /// The owner's certificate, unsigned.
  var certificate: [UInt8] {
    Self.certificate(key: ownKey.publicKey)
  }

  static func certificate(key: P384.KeyAgreement.PublicKey) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 2084)
    let point = Array(key.x963Representation)
    bytes[0] = 1
    bytes.replaceSubrange(8..<12, with: [0x03, 0x10, 0, 0])
    bytes[12] = 3
    bytes[16] = 2
    bytes.replaceSubrange(20..<68, with: point[1..<49].reversed())
    bytes.replaceSubrange(92..<140, with: point[49..<97].reversed())
    return bytes
  }

  /// The session blob for a policy.
  func session(policy: GuestPolicy) throws -> [UInt8] {
    let shared = try ownKey.sharedSecretFromKeyAgreement(with: platformKey.publicKey)
    return try Self.session(
      sharedSecret: SymmetricKey(data: shared), encryptionKey: encryptionKey, integrityKey: integrityKey,
      nonce: (0..<16).map { UInt8(0x40 + $0) }, vector: (0..<16).map { UInt8(0x50 + $0) }, policy: policy)
  }

  static func session(
    sharedSecret: SymmetricKey, encryptionKey: [UInt8], integrityKey: [UInt8], nonce: [UInt8],
    vector: [UInt8], policy: GuestPolicy
  ) throws -> [UInt8] {
    var secret = encryptionKey + integrityKey
    return try SessionBlob.seal(
      &secret, sharedSecret: sharedSecret, nonce: nonce, vector: vector, policy: policy
    ).blob
  }
}

extension Bench {
  /// LAUNCH_START with an owner's session.
  mutating func start(
    _ machine: VirtualMachineID, session owner: SessionOwner, policy: GuestPolicy,
    change: (inout [UInt8]) -> Void = { _ in }
  ) -> Ending {
    guard var session = try? owner.session(policy: policy) else {
      preconditionFailure("no session could be made")
    }
    change(&session)
    memory.store(owner.certificate, at: 0x8000)
    memory.store(session, at: 0x9000)
    return issue(
      .launchStart, machine,
      LaunchStartParameters(
        policy: policy.rawValue, certificateAddress: 0x8000, certificateByteCount: 2084,
        sessionAddress: 0x9000, sessionByteCount: 128
      ).bytes)
  }
}
