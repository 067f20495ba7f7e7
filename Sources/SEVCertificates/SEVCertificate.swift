package import Crypto
package import SEVABI

/// A certificate of the SEV firmware's own format, 2084 bytes: PDH, PEK, OCA or CEK.
///
/// Multi-byte fields are little-endian; those of keys and signatures are wider than the numbers in them and
/// zero behind.
public struct SEVCertificate: Hashable, Sendable {
  public static let byteCount = 2084

  /// What a certificate's key is for, and who made a signature.
  public enum Usage: UInt32, CaseIterable, Sendable {
    case amdRoot = 0x0000
    case amdSigning = 0x0013
    /// An empty signature slot.
    case none = 0x1000
    /// OCA: the certificate authority of the platform's owner.
    case owner = 0x1001
    /// PEK.
    case platformEndorsement = 0x1002
    /// PDH, or a guest owner's Diffie-Hellman key.
    case diffieHellman = 0x1003
    /// CEK.
    case chipEndorsement = 0x1004
  }

  public enum Algorithm: UInt32, CaseIterable, Sendable {
    case none = 0
    case rsaSHA256 = 0x001
    case ecdsaSHA256 = 0x002
    case ecdhSHA256 = 0x003
    case rsaSHA384 = 0x101
    case ecdsaSHA384 = 0x102
    case ecdhSHA384 = 0x103
  }

  /// One of the two places for a signature.
  public enum Slot: Int, CaseIterable, Sendable {
    case first = 1044
    case second = 1564

    var usage: Int { rawValue }
    var algorithm: Int { rawValue + 4 }
    var signature: Range<Int> { (rawValue + 8)..<(rawValue + 520) }
  }

  /// Where the fields are.
  private enum Field {
    static let version = 0
    static let major = 4
    static let minor = 5
    static let usage = 8
    static let algorithm = 12
    static let curve = 16
    static let x = 20
    static let y = 92
    /// What is signed.
    static let body = 0..<1044
  }
  private static let formatVersion: UInt32 = 1
  private static let curveP384: UInt32 = 2
  package static let coordinateByteCount = 48
  package static let coordinateFieldByteCount = 72

  public private(set) var bytes: [UInt8]

  /// Nothing unless there are 2084 bytes of format version 1. Nothing else is looked at yet.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount, bytes.span.uint32(at: Field.version) == Self.formatVersion else {
      return nil
    }
    self.bytes = bytes
  }

  /// An unsigned certificate of a point of P-384.
  ///
  /// - Parameter point: 97 bytes: 4, then both coordinates, big-endian.
  package init(usage: Usage, algorithm: Algorithm, point: [UInt8], version: APIVersion) {
    precondition(point.count == 1 + 2 * Self.coordinateByteCount, "no uncompressed point of P-384")
    bytes = [UInt8](repeating: 0, count: Self.byteCount)
    var span = bytes.mutableSpan
    span.store(Self.formatVersion, at: Field.version)
    span[Field.major] = version.major
    span[Field.minor] = version.minor
    span.store(usage.rawValue, at: Field.usage)
    span.store(algorithm.rawValue, at: Field.algorithm)
    span.store(Self.curveP384, at: Field.curve)
    for slot in Slot.allCases { span.store(Usage.none.rawValue, at: slot.usage) }
    Self.store(point[1..<49], at: Field.x, in: &bytes)
    Self.store(point[49..<97], at: Field.y, in: &bytes)
  }

  var usageField: UInt32 { bytes.span.uint32(at: Field.usage) }
  var algorithmField: UInt32 { bytes.span.uint32(at: Field.algorithm) }
  public var usage: Usage? { Usage(rawValue: usageField) }
  public var algorithm: Algorithm? { Algorithm(rawValue: algorithmField) }
  /// The API version of the firmware that made the certificate.
  public var version: APIVersion { APIVersion(major: bytes[Field.major], minor: bytes[Field.minor]) }
  /// The signed part.
  public var body: ArraySlice<UInt8> { bytes[Field.body] }

  public func signer(in slot: Slot) -> Usage? { Usage(rawValue: bytes.span.uint32(at: slot.usage)) }
  public func signatureAlgorithm(in slot: Slot) -> Algorithm? {
    Algorithm(rawValue: bytes.span.uint32(at: slot.algorithm))
  }

  // MARK: Keys

  /// The point as 97 bytes; nothing if the curve is not P-384 or a field is wider than a coordinate.
  private var point: [UInt8]? {
    guard bytes.span.uint32(at: Field.curve) == Self.curveP384,
      let x = Self.number(at: Field.x, in: bytes), let y = Self.number(at: Field.y, in: bytes)
    else { return nil }
    return [0x04] + x + y
  }

  /// The key, if this is a certificate for key agreement and its key a point of P-384.
  ///
  /// That is all the firmware looks at in a Diffie-Hellman certificate when a session is opened.
  package var keyAgreementKey: P384.KeyAgreement.PublicKey? {
    guard usage == .diffieHellman, algorithm == .ecdhSHA256, let point else { return nil }
    return try? P384.KeyAgreement.PublicKey(x963Representation: point)
  }

  /// Whether the key is one that signs, and a point of P-384.
  var hasSigningKey: Bool {
    (algorithm == .ecdsaSHA256 || algorithm == .ecdsaSHA384) && signingKey != nil
  }

  /// The key, if it is one that signs and a point of P-384.
  private var signingKey: P384.Signing.PublicKey? {
    guard let point else { return nil }
    return try? P384.Signing.PublicKey(x963Representation: point)
  }

  // MARK: Signatures

  /// Whether one of the slots has a signature of `signer`'s key over this certificate.
  public func isSigned(by signer: SEVCertificate) -> Bool {
    guard let key = signer.signingKey, let usage = signer.usage, let algorithm = signer.algorithm else {
      return false
    }
    return Slot.allCases.contains { slot in
      guard self.signer(in: slot) == usage, signatureAlgorithm(in: slot) == algorithm,
        let signature = ellipticSignature(in: slot)
      else { return false }
      switch algorithm {
      case .ecdsaSHA256: return key.isValidSignature(signature, for: SHA256.hash(data: body))
      case .ecdsaSHA384: return key.isValidSignature(signature, for: SHA384.hash(data: body))
      case .none, .rsaSHA256, .rsaSHA384, .ecdhSHA256, .ecdhSHA384: return false
      }
    }
  }

  private func ellipticSignature(in slot: Slot) -> P384.Signing.ECDSASignature? {
    let start = slot.signature.lowerBound
    guard let r = Self.number(at: start, in: bytes),
      let s = Self.number(at: start + Self.coordinateFieldByteCount, in: bytes)
    else { return nil }
    return try? P384.Signing.ECDSASignature(rawRepresentation: r + s)
  }

  /// Signs the body with a key of P-384 and SHA-256.
  package mutating func sign(
    _ slot: Slot, as usage: Usage, with key: P384.Signing.PrivateKey
  ) throws(FirmwareStatus) {
    guard let signature = try? key.signature(for: SHA256.hash(data: body)) else {
      throw .hardwareErrorPlatform
    }
    setSignature(
      in: slot, of: usage, algorithm: .ecdsaSHA256, Self.signatureField(signature.rawRepresentation))
  }

  /// r and s as the formats have them: two fields of 72 bytes, little-endian.
  package static func signatureField(_ rawRepresentation: some Sequence<UInt8>) -> [UInt8] {
    let raw = Array(rawRepresentation)
    var field = [UInt8](repeating: 0, count: 2 * coordinateFieldByteCount)
    store(raw[..<coordinateByteCount], at: 0, in: &field)
    store(raw[coordinateByteCount...], at: coordinateFieldByteCount, in: &field)
    return field
  }

  /// Files a signature of up to 512 bytes, as it stands in the certificate.
  package mutating func setSignature(
    in slot: Slot, of usage: Usage, algorithm: Algorithm, _ signature: [UInt8]
  ) {
    var span = bytes.mutableSpan
    span.store(usage.rawValue, at: slot.usage)
    span.store(algorithm.rawValue, at: slot.algorithm)
    for (index, place) in slot.signature.enumerated() {
      span[place] = index < signature.count ? signature[index] : 0
    }
  }

  /// Takes over the signature that `signer` has in a slot of another certificate.
  package mutating func copySignature(of signer: Usage, from other: SEVCertificate, to slot: Slot) {
    guard let source = Slot.allCases.first(where: { other.signer(in: $0) == signer }),
      let algorithm = other.signatureAlgorithm(in: source)
    else { return }
    setSignature(in: slot, of: signer, algorithm: algorithm, Array(other.bytes[source.signature]))
  }

  /// Both slots emptied, as in a signing request and in what the firmware exports of the chip's
  /// certificate.
  public var withoutSignatures: SEVCertificate {
    var certificate = self
    for slot in Slot.allCases {
      certificate.setSignature(in: slot, of: .none, algorithm: .none, [])
    }
    return certificate
  }

  // MARK: Fields

  /// A number of 48 bytes, big-endian, from a field of 72; nothing if it is larger.
  private static func number(at offset: Int, in bytes: [UInt8]) -> [UInt8]? {
    let field = bytes[offset..<(offset + coordinateFieldByteCount)]
    guard field.dropFirst(coordinateByteCount).allSatisfy({ $0 == 0 }) else { return nil }
    return field.prefix(coordinateByteCount).reversed()
  }

  private static func store(_ number: ArraySlice<UInt8>, at offset: Int, in bytes: inout [UInt8]) {
    for (index, byte) in number.reversed().enumerated() { bytes[offset + index] = byte }
  }
}
