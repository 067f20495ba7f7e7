import Crypto
package import SEVABI
import SEVCertificates

/// What the firmware says of a guest under its endorsement key.
extension Firmware {
  /// ATTESTATION: nonce, launch digest and policy, signed by the platform's endorsement key (PEK).
  ///
  /// - Parameters:
  ///   - nonce: 16 bytes of whoever asks.
  ///   - room: Below ``Length/attestationReport`` the status is INVALID_LENGTH.
  package mutating func attest(
    _ handle: UInt32, nonce: [UInt8], room: UInt32
  ) throws(FirmwareStatus) -> [UInt8] {
    try admit(.attestation)
    let guest = try guest(handle)
    switch guest.state {
    case .measured, .running, .sending, .sent: break
    case .uninitialized, .launching, .receiving: throw .invalidGuestState
    }
    guard room >= Length.attestationReport else { throw .invalidLength }
    guard case .closed(let digest) = guest.digest else { throw .invalidGuestState }
    let statement = nonce + digest + littleEndianBytes(guest.policy.rawValue)
    let key = try identity.credentials(version: version).endorsementKey
    guard let signature = try? key.signature(for: SHA256.hash(data: statement)) else {
      throw .hardwareErrorPlatform
    }
    return statement + littleEndianBytes(SEVCertificate.Usage.platformEndorsement.rawValue)
      + littleEndianBytes(SEVCertificate.Algorithm.ecdsaSHA256.rawValue) + littleEndianBytes(0)
      + SEVCertificate.signatureField(signature.rawRepresentation)
  }
}
