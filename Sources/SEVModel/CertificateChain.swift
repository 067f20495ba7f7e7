package import SEVABI
package import SEVCertificates

/// All certificates of a platform: its own, and those that AMD's server has on hardware.
public struct PlatformCertificates: Hashable, Sendable {
  /// The platform's Diffie-Hellman key, for sessions; 2084 bytes, as the next three.
  public var pdh: [UInt8]
  /// The platform's endorsement key.
  public var pek: [UInt8]
  /// The certificate authority of the platform's owner.
  public var oca: [UInt8]
  /// The chip's key, signed by the ASK (the firmware exports it without a signature).
  public var cek: [UInt8]
  /// The signing key and the root; 832 bytes each.
  public var ask: [UInt8]
  public var ark: [UInt8]

  public init(
    pdh: [UInt8], pek: [UInt8], oca: [UInt8], cek: [UInt8], ask: [UInt8], ark: [UInt8]
  ) {
    self.pdh = pdh
    self.pek = pek
    self.oca = oca
    self.cek = cek
    self.ask = ask
    self.ark = ark
  }

  /// What SEND_START calls the platform's certificates, 6252 bytes.
  public var chain: [UInt8] { pek + oca + cek }
  /// What SEND_START calls AMD's certificates, 1664 bytes.
  public var amd: [UInt8] { ask + ark }
  public var all: [UInt8] { pdh + chain + amd }
}

/// What SEND_START checks of the machine that is to receive a guest.
package struct CertificateChain: Sendable {
  /// PEK, OCA and CEK, one after the other.
  package static let byteCount = 3 * SEVCertificate.byteCount
  /// ASK and ARK: both of RSA-2048, one of each, both of RSA-4096.
  package static let amdByteCounts = [1664, 2432, 3200]

  package let pdh: SEVCertificate
  package let pek: SEVCertificate
  package let oca: SEVCertificate
  package let cek: SEVCertificate

  /// - Throws: INVALID_LENGTH; INVALID_CERTIFICATE for another format version or another key than expected.
  package init(pdh: [UInt8], chain: [UInt8]) throws(FirmwareStatus) {
    guard chain.count == Self.byteCount, pdh.count == SEVCertificate.byteCount else { throw .invalidLength }
    let size = SEVCertificate.byteCount
    guard let pdh = SEVCertificate(pdh), pdh.usage == .diffieHellman,
      let pek = SEVCertificate(Array(chain[..<size])), pek.usage == .platformEndorsement,
      let oca = SEVCertificate(Array(chain[size..<(2 * size)])), oca.usage == .owner,
      let cek = SEVCertificate(Array(chain[(2 * size)...])), cek.usage == .chipEndorsement
    else { throw .invalidCertificate }
    self.pdh = pdh
    self.pek = pek
    self.oca = oca
    self.cek = cek
  }

  /// Whether the platform is a genuine one: root, signing key, chip, platform, Diffie-Hellman key.
  ///
  /// - Parameter amd: ASK, then ARK.
  /// - Throws: INVALID_LENGTH; INVALID_CERTIFICATE for an unknown root or a wrong kind of certificate;
  ///   BAD_SIGNATURE.
  package func verifyGenuine(amd: [UInt8]) throws(FirmwareStatus) {
    guard Self.amdByteCounts.contains(amd.count) else { throw .invalidLength }
    guard let ask = AMDCertificate(prefixOf: amd[...]),
      let ark = AMDCertificate(Array(amd[ask.bytes.count...])),
      ask.usage == .amdSigning, ark.usage == .amdRoot,
      AMDRoot.allCases.contains(where: { $0.isKey(of: ark) })
    else { throw .invalidCertificate }
    guard ark.isSigned(by: ark), ask.isSigned(by: ark), ask.signed(cek), pek.isSigned(by: cek),
      pdh.isSigned(by: pek)
    else { throw .badSignature }
  }

  /// Whether the platform's owner is the one with certificate `own`.
  ///
  /// - Throws: BAD_SIGNATURE; POLICY_FAILURE for another owner.
  package func verifyOwner(own: SEVCertificate) throws(FirmwareStatus) {
    guard oca.isSigned(by: oca), pek.isSigned(by: oca), pdh.isSigned(by: pek) else { throw .badSignature }
    guard oca == own else { throw .policyFailure }
  }
}
