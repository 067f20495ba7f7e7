public import Crypto
import SEVABI
import SEVCertificates

/// Who the platform is: the chip's secret, the keys made from it and by the firmware, and the owner's
/// certificate authority.
///
/// The Diffie-Hellman key (PDH) is what owners and sending machines wrap the keys of guests to. The chip's
/// key is signed by a test root, since a model has none that AMD's root signed. Certificates are made when
/// they are first asked for. Keys are wiped by the library that holds them.
public struct PlatformIdentity: Sendable {
  /// What the chip's key (CEK) is derived from. Survives a factory reset.
  private let chipSecret: SymmetricKey
  private var diffieHellmanKey: P384.KeyAgreement.PrivateKey
  private var credentials: Credentials?

  /// The keys that sign, and all certificates.
  struct Credentials: Sendable {
    /// The key of the platform's own certificate authority; nothing if the platform is externally owned.
    var ownerKey: P384.Signing.PrivateKey?
    var endorsementKey: P384.Signing.PrivateKey
    var oca: SEVCertificate
    var pek: SEVCertificate
    var pdh: SEVCertificate
    /// Signed by the test root.
    var cek: SEVCertificate
  }

  /// A platform with the given Diffie-Hellman key, until a command makes another one.
  public init(key: P384.KeyAgreement.PrivateKey = P384.KeyAgreement.PrivateKey()) {
    diffieHellmanKey = key
    chipSecret = SymmetricKey(size: .bits256)
  }

  /// Somebody else's authority signed the platform's endorsement key.
  var isExternallyOwned: Bool { credentials.map { $0.ownerKey == nil } ?? false }

  /// What the Diffie-Hellman key and a peer's agree on: the X coordinate, big-endian.
  func sharedSecret(
    with peer: P384.KeyAgreement.PublicKey
  ) throws(FirmwareStatus) -> SymmetricKey {
    guard let secret = try? diffieHellmanKey.sharedSecretFromKeyAgreement(with: peer) else {
      throw .invalidCertificate
    }
    return SymmetricKey(data: secret)
  }

  // MARK: Certificates

  /// The keys and certificates, made if there are none.
  mutating func credentials(version: FirmwareVersion) throws(FirmwareStatus) -> Credentials {
    if let credentials { return credentials }
    return try makeEndorsement(version: version)
  }

  /// PEK_GEN without its new PDH: the platform owns itself, under a new endorsement key.
  @discardableResult
  private mutating func makeEndorsement(version: FirmwareVersion) throws(FirmwareStatus) -> Credentials {
    let (ownerKey, oca) = try authority(version: version)
    let endorsementKey = P384.Signing.PrivateKey()
    let chipKey = try chipKey()
    var pek = SEVCertificate(
      usage: .platformEndorsement, algorithm: .ecdsaSHA256,
      point: Array(endorsementKey.publicKey.x963Representation), version: version.api)
    try pek.sign(.first, as: .owner, with: ownerKey)
    try pek.sign(.second, as: .chipEndorsement, with: chipKey)
    var cek = SEVCertificate(
      usage: .chipEndorsement, algorithm: .ecdsaSHA256,
      point: Array(chipKey.publicKey.x963Representation), version: version.api)
    try TestRoot.sign(&cek)
    let made = Credentials(
      ownerKey: ownerKey, endorsementKey: endorsementKey, oca: oca, pek: pek,
      pdh: try diffieHellmanCertificate(signedBy: endorsementKey, version: version), cek: cek)
    credentials = made
    return made
  }

  /// The platform's own certificate authority: the one that it has, unless somebody else's took its place.
  private func authority(
    version: FirmwareVersion
  ) throws(FirmwareStatus) -> (key: P384.Signing.PrivateKey, certificate: SEVCertificate) {
    if let credentials, let key = credentials.ownerKey { return (key, credentials.oca) }
    let key = P384.Signing.PrivateKey()
    var certificate = SEVCertificate(
      usage: .owner, algorithm: .ecdsaSHA256, point: Array(key.publicKey.x963Representation),
      version: version.api)
    try certificate.sign(.first, as: .owner, with: key)
    return (key, certificate)
  }

  private func diffieHellmanCertificate(
    signedBy endorsementKey: P384.Signing.PrivateKey, version: FirmwareVersion
  ) throws(FirmwareStatus) -> SEVCertificate {
    var pdh = SEVCertificate(
      usage: .diffieHellman, algorithm: .ecdhSHA256,
      point: Array(diffieHellmanKey.publicKey.x963Representation), version: version.api)
    try pdh.sign(.first, as: .platformEndorsement, with: endorsementKey)
    return pdh
  }

  /// CEK: always the same for one chip.
  private func chipKey() throws(FirmwareStatus) -> P384.Signing.PrivateKey {
    // One of about 2^190 derived numbers is no private key.
    for attempt in UInt8.min...UInt8.max {
      let scalar = KeyDerivation.key(
        from: chipSecret, label: "sev-chip-endorsement-key", context: [attempt], bitCount: 384)
      if let key = try? P384.Signing.PrivateKey(rawRepresentation: scalar) { return key }
    }
    throw .hardwareErrorPlatform
  }

  /// What GET_ID gives for the one socket there is, 64 bytes: a name of the chip, which says nothing of its
  /// secret.
  func chipIdentifier() -> [UInt8] {
    Array(HMAC<SHA512>.authenticationCode(for: Array("sev-chip-identifier".utf8), using: chipSecret))
  }

  // MARK: Life cycle

  /// PDH_GEN: a new Diffie-Hellman key, with which sessions made for the old one are worthless.
  mutating func makeDiffieHellmanKey(version: FirmwareVersion) throws(FirmwareStatus) {
    diffieHellmanKey = P384.KeyAgreement.PrivateKey()
    guard var credentials else { return }
    credentials.pdh = try diffieHellmanCertificate(
      signedBy: credentials.endorsementKey, version: version)
    self.credentials = credentials
  }

  /// PEK_GEN.
  mutating func makeEndorsementKey(version: FirmwareVersion) throws(FirmwareStatus) {
    diffieHellmanKey = P384.KeyAgreement.PrivateKey()
    try makeEndorsement(version: version)
  }

  /// PEK_CERT_IMPORT, after its lengths: the endorsement key as an owner's authority signed it.
  ///
  /// - Throws: INVALID_CERTIFICATE for another kind of certificate or another key than the platform's;
  ///   BAD_SIGNATURE.
  mutating func importEndorsement(
    pek: [UInt8], oca: [UInt8], version: FirmwareVersion
  ) throws(FirmwareStatus) {
    var credentials = try credentials(version: version)
    guard let oca = SEVCertificate(oca), oca.usage == .owner else { throw .invalidCertificate }
    guard oca.isSigned(by: oca) else { throw .badSignature }
    guard let signed = SEVCertificate(pek), signed.usage == .platformEndorsement,
      signed.body == credentials.pek.body
    else { throw .invalidCertificate }
    guard signed.isSigned(by: oca) else { throw .badSignature }
    var endorsed = signed.withoutSignatures
    endorsed.copySignature(of: .owner, from: signed, to: .first)
    endorsed.copySignature(of: .chipEndorsement, from: credentials.pek, to: .second)
    credentials.ownerKey = nil
    credentials.oca = oca
    credentials.pek = endorsed
    self.credentials = credentials
    try makeDiffieHellmanKey(version: version)
  }

  /// PLATFORM_RESET: everything but the chip's secret is forgotten.
  mutating func reset() {
    diffieHellmanKey = P384.KeyAgreement.PrivateKey()
    credentials = nil
  }

  /// All certificates, with the signed one of the chip.
  mutating func certificates(version: FirmwareVersion) throws(FirmwareStatus) -> PlatformCertificates {
    let credentials = try credentials(version: version)
    return PlatformCertificates(
      pdh: credentials.pdh.bytes, pek: credentials.pek.bytes, oca: credentials.oca.bytes,
      cek: credentials.cek.bytes, ask: TestRoot.signingKey, ark: TestRoot.root)
  }
}
