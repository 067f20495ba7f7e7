import SEVABI

/// What a machine shows before a guest is sent to it, as it came over the wire. Nothing is believed yet.
public struct TargetCertificates: Hashable, Sendable {
  /// The PDH, 2084 bytes.
  public var pdh: [UInt8]
  /// PEK, OCA and CEK, one after the other, 6252 bytes: what SEND_START calls the platform's certificates.
  public var platform: [UInt8]
  /// ASK, then ARK, 1664 to 3200 bytes: what SEND_START calls AMD's certificates.
  public var amd: [UInt8]

  public init(pdh: [UInt8], platform: [UInt8], amd: [UInt8]) {
    self.pdh = pdh
    self.platform = platform
    self.amd = amd
  }

  /// Puts the chip's certificate as AMD signed it into the place of the one that the firmware exported, which has
  /// no signature.
  ///
  /// - Throws: ``CertificateError`` if one of the two is no CEK, or if they are for two keys.
  public mutating func take(signedCEK: [UInt8]) throws(CertificateError) {
    let size = SEVCertificate.byteCount
    let exported = try Self.parse(.cek, platform.dropFirst(2 * size))
    let signed = try Self.parse(.cek, signedCEK[...])
    guard exported.body == signed.body else { throw CertificateError(.cek, .foreignKey) }
    platform.replaceSubrange((2 * size)..., with: signedCEK)
  }

  /// Verifies everything: a pinned root that signed itself, the ASK by the root, the CEK by the ASK, the OCA by
  /// itself, the PEK by OCA and CEK, the PDH by the PEK; usages, algorithms and keys of each; and that the PEK was
  /// made by firmware that the guest's policy allows.
  ///
  /// The firmware itself verifies a chain only if the guest's policy has SEV or DOMAIN. Here it is always
  /// verified: a guest's keys are wrapped for the PDH, and one that nobody vouches for may be anybody's. Bytes
  /// behind a signature and in an empty slot are signed by nobody and looked at by nobody.
  ///
  /// - Parameters:
  ///   - roots: Where the chain may lead.
  ///   - minimumAPI: The policy's oldest firmware API.
  /// - Throws: The first fault, looking at lengths and formats first and then from the root down.
  /// - Complexity: Seven verifications of signatures, a few milliseconds.
  public func verify(
    roots: TrustedRoots = .amd, minimumAPI: APIVersion = .zero
  ) throws(CertificateError) -> VerifiedPlatform {
    let size = SEVCertificate.byteCount
    let ask = try Self.parseAMD(.ask, amd[...])
    let ark = try Self.parseAMD(.ark, amd.dropFirst(ask.bytes.count), isLast: true)
    let pek = try Self.parse(.pek, platform.prefix(size))
    let oca = try Self.parse(.oca, platform.dropFirst(size).prefix(size))
    let cek = try Self.parse(.cek, platform.dropFirst(2 * size))
    let pdh = try Self.parse(.pdh, self.pdh[...])

    let root = try Self.verifyRoot(ark, roots)
    try Self.check(.ask, ask, by: ark)
    try Self.check(.cek, cek, by: ask)
    try Self.check(.oca, oca)
    try Self.check(.oca, oca, by: oca, .oca)
    try Self.check(.pek, pek)
    try Self.check(.pek, pek, by: oca, .oca)
    try Self.check(.pek, pek, by: cek, .cek)
    guard pek.version >= minimumAPI else {
      throw CertificateError(.pek, .apiTooOld(has: pek.version, needs: minimumAPI))
    }
    try Self.check(.pdh, pdh)
    try Self.check(.pdh, pdh, by: pek, .pek)
    return VerifiedPlatform(pdh: pdh, pek: pek, oca: oca, cek: cek, root: root)
  }

  // MARK: Lengths and formats

  private static func parse(
    _ name: CertificateName, _ bytes: ArraySlice<UInt8>
  ) throws(CertificateError) -> SEVCertificate {
    guard bytes.count == SEVCertificate.byteCount else {
      throw CertificateError(name, .wrongLength(bytes.count, expected: [SEVCertificate.byteCount]))
    }
    let bytes = Array(bytes)
    guard let certificate = SEVCertificate(bytes) else {
      throw CertificateError(name, .unknownFormat(bytes.span.uint32(at: 0)))
    }
    guard certificate.usage == name.usage else {
      throw CertificateError(name, .wrongUsage(certificate.usageField))
    }
    return certificate
  }

  private static func parseAMD(
    _ name: CertificateName, _ bytes: ArraySlice<UInt8>, isLast: Bool = false
  ) throws(CertificateError) -> AMDCertificate {
    let header = AMDCertificate.headerByteCount
    guard bytes.count >= header else {
      throw CertificateError(name, .wrongLength(bytes.count, expected: AMDCertificate.byteCounts))
    }
    let start = Array(bytes.prefix(header))
    let version = start.span.uint32(at: 0)
    guard version == AMDCertificate.formatVersion else {
      throw CertificateError(name, .unknownFormat(version))
    }
    for field in AMDCertificate.bitCountFields {
      let bits = start.span.uint32(at: field)
      guard AMDCertificate.keyBitCounts.contains(bits) else {
        throw CertificateError(name, .wrongKeySize(bits))
      }
    }
    guard let certificate = AMDCertificate(prefixOf: bytes), !isLast || certificate.bytes.count == bytes.count
    else {
      throw CertificateError(name, .wrongLength(bytes.count, expected: AMDCertificate.byteCounts))
    }
    guard certificate.usage == name.usage else {
      throw CertificateError(name, .wrongUsage(certificate.usageField))
    }
    return certificate
  }

  // MARK: Signatures

  private static func verifyRoot(
    _ ark: AMDCertificate, _ roots: TrustedRoots
  ) throws(CertificateError) -> AMDRoot {
    guard let root = AMDRoot(keyID: ark.keyID) else {
      throw CertificateError(.ark, .unknownRoot(ark.keyID))
    }
    guard roots.accepted.contains(root) else {
      throw CertificateError(.ark, root == .model ? .modelRoot : .unknownRoot(ark.keyID))
    }
    try check(.ark, ark, by: ark)
    guard root.isKey(of: ark) else { throw CertificateError(.ark, .wrongRoot(root)) }
    return root
  }

  private static func check(
    _ name: CertificateName, _ certificate: AMDCertificate, by root: AMDCertificate
  ) throws(CertificateError) {
    guard certificate.certifyingKeyID == root.keyID else {
      throw CertificateError(name, .wrongIssuer(certificate.certifyingKeyID))
    }
    guard certificate.isSigned(by: root) else { throw CertificateError(name, .badSignature(by: .ark)) }
  }

  private static func check(
    _ name: CertificateName, _ certificate: SEVCertificate, by signer: AMDCertificate
  ) throws(CertificateError) {
    try check(name, certificate)
    try checkSlot(name, certificate, .ask, signer.signatureAlgorithm)
    guard signer.signed(certificate) else { throw CertificateError(name, .badSignature(by: .ask)) }
  }

  private static func check(
    _ name: CertificateName, _ certificate: SEVCertificate, by signer: SEVCertificate,
    _ signerName: CertificateName
  ) throws(CertificateError) {
    try checkSlot(name, certificate, signerName, signer.algorithm)
    guard certificate.isSigned(by: signer) else {
      throw CertificateError(name, .badSignature(by: signerName))
    }
  }

  /// That a slot is the signer's, with the algorithm of the signer's key.
  private static func checkSlot(
    _ name: CertificateName, _ certificate: SEVCertificate, _ signer: CertificateName,
    _ algorithm: SEVCertificate.Algorithm?
  ) throws(CertificateError) {
    let slots = SEVCertificate.Slot.allCases.filter { certificate.signer(in: $0) == signer.usage }
    guard !slots.isEmpty else { throw CertificateError(name, .unsigned(by: signer)) }
    guard slots.contains(where: { certificate.signatureAlgorithm(in: $0) == algorithm }) else {
      throw CertificateError(name, .wrongSignatureAlgorithm(by: signer))
    }
  }

  /// That the certificate's own key is one that it can have.
  private static func check(
    _ name: CertificateName, _ certificate: SEVCertificate
  ) throws(CertificateError) {
    let algorithm = certificate.algorithm
    guard
      name == .pdh ? algorithm == .ecdhSHA256 : algorithm == .ecdsaSHA256 || algorithm == .ecdsaSHA384
    else { throw CertificateError(name, .wrongAlgorithm(certificate.algorithmField)) }
    guard name == .pdh ? certificate.keyAgreementKey != nil : certificate.hasSigningKey else {
      throw CertificateError(name, .badKey)
    }
  }
}

/// A machine whose whole chain was verified. Only ``TargetCertificates/verify(roots:minimumAPI:)`` makes one.
public struct VerifiedPlatform: Hashable, Sendable {
  public let pdh: SEVCertificate
  public let pek: SEVCertificate
  public let oca: SEVCertificate
  public let cek: SEVCertificate
  /// Where the chain leads: which generation of processors, or the model.
  public let root: AMDRoot
  /// The API version of the firmware that made the PEK.
  public var api: APIVersion { pek.version }
}
