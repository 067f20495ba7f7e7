package import SEVABI
import SEVCertificates

/// The commands for the platform and not for one guest, most of them behind `/dev/sev`.
extension Firmware {
  /// What the driver does when it is loaded and before the first guest: INIT, WBINVD on all cores and DF_FLUSH.
  /// Nothing if that was done.
  mutating func initializeIfNeeded() throws(FirmwareStatus) {
    guard platform == .uninitialized else { return }
    try initialize()
    writeBackCaches()
    try flushDataFabric()
  }

  /// What KVM does when no clean ASID is left: WBINVD on all cores and DF_FLUSH.
  ///
  /// - Returns: Whether the firmware did it. It refuses while the platform is not initialised.
  mutating func flush() -> Bool {
    writeBackCaches()
    do throws(FirmwareStatus) {
      try flushDataFabric()
      return true
    } catch {
      return false
    }
  }

  /// PLATFORM_STATUS.
  package mutating func platformStatus() throws(FirmwareStatus) -> PlatformStatusParameters {
    try admit(.platformStatus)
    return PlatformStatusParameters(
      major: version.major, minor: version.minor, state: platform.rawValue,
      isExternallyOwned: identity.isExternallyOwned,
      hasEncryptedState: platform != .uninitialized && supportsEncryptedState, build: version.build,
      guestCount: UInt32(guestCount))
  }

  /// What firmware of another version has done before this one took its place: made the platform's keys. Nothing if
  /// there are some.
  mutating func makePlatformKeys(by version: FirmwareVersion) throws(FirmwareStatus) {
    _ = try identity.credentials(version: version)
  }

  /// PLATFORM_RESET: the platform's identity is wiped, but for the chip's.
  package mutating func resetPlatform() throws(FirmwareStatus) {
    try admit(.platformReset)
    identity.reset()
  }

  /// PEK_GEN: a new endorsement key and Diffie-Hellman key; the platform owns itself.
  package mutating func generatePEK() throws(FirmwareStatus) {
    try admit(.generatePEK)
    try identity.makeEndorsementKey(version: version)
  }

  /// PDH_GEN: sessions made for the old Diffie-Hellman key are BAD_MEASUREMENT afterwards.
  package mutating func generatePDH() throws(FirmwareStatus) {
    try admit(.generatePDH)
    try identity.makeDiffieHellmanKey(version: version)
  }

  /// PEK_CSR: the endorsement key's certificate without signatures, ``Length/certificate`` bytes.
  package mutating func certificateSigningRequest(room: UInt32) throws(FirmwareStatus) -> [UInt8] {
    try admit(.certificateSigningRequest)
    guard room >= Length.certificate else { throw .invalidLength }
    return try identity.credentials(version: version).pek.withoutSignatures.bytes
  }

  /// PEK_CERT_IMPORT: an owner's authority takes the platform over, once. A new Diffie-Hellman key follows.
  package mutating func importPEK(_ pek: [UInt8], oca: [UInt8]) throws(FirmwareStatus) {
    try admit(.importPEK)
    guard !identity.isExternallyOwned else { throw .alreadyOwned }
    guard pek.count == SEVCertificate.byteCount, oca.count == SEVCertificate.byteCount else {
      throw .invalidLength
    }
    try identity.importEndorsement(pek: pek, oca: oca, version: version)
  }

  /// PDH_CERT_EXPORT: the Diffie-Hellman key's certificate, and PEK, OCA and CEK. The chip's certificate
  /// has no signature: AMD's server has the signed one.
  package mutating func exportPDH(
    room: UInt32, chainRoom: UInt32
  ) throws(FirmwareStatus) -> (pdh: [UInt8], chain: [UInt8]) {
    try admit(.exportPDH)
    guard room >= Length.certificate, chainRoom >= Length.certificateChain else { throw .invalidLength }
    let credentials = try identity.credentials(version: version)
    let chain = credentials.pek.bytes + credentials.oca.bytes + credentials.cek.withoutSignatures.bytes
    return (credentials.pdh.bytes, chain)
  }

  /// GET_ID: the chip's identifier, and zeros for the second socket, which the model does not have.
  package mutating func platformIdentifier(room: UInt32) throws(FirmwareStatus) -> [UInt8] {
    try admit(.getID)
    guard room >= Length.platformIdentifier else { throw .invalidLength }
    let identifier = identity.chipIdentifier()
    return identifier
      + [UInt8](repeating: 0, count: Int(Length.platformIdentifier) - identifier.count)
  }

  /// All certificates, with those that AMD's server has on hardware.
  package mutating func platformCertificates() throws(FirmwareStatus) -> PlatformCertificates {
    try identity.certificates(version: version)
  }
}
