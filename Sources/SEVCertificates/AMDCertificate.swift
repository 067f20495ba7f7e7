import Crypto
import CryptoExtras
import SEVABI

/// A certificate of AMD's own format, with which the chain to a chip begins: root (ARK) and signing key
/// (ASK).
///
/// RSA with 2048 bits (832 bytes, signed with SHA-256) or 4096 bits (1600 bytes, SHA-384); signatures are
/// PSS with a salt as long as the hash. Numbers are little-endian.
public struct AMDCertificate: Hashable, Sendable {
  static let formatVersion: UInt32 = 1
  static let headerByteCount = Field.exponent
  /// Where the widths of exponent and modulus are.
  static let bitCountFields = [Field.exponentBitCount, Field.modulusBitCount]
  static let keyBitCounts: [UInt32] = [2048, 4096]
  /// Of a whole certificate.
  static let byteCounts = [832, 1600]
  private enum Field {
    static let version = 0
    static let keyID = 4..<20
    static let certifyingKeyID = 20..<36
    static let usage = 36
    static let exponentBitCount = 56
    static let modulusBitCount = 60
    static let exponent = 64
  }

  public let bytes: [UInt8]
  /// Bytes of the modulus, and of the exponent's and the signature's field.
  let width: Int

  /// Reads the certificate at the beginning of `bytes`, or nothing unless there is one of format version 1
  /// with a size that exists.
  public init?(prefixOf bytes: ArraySlice<UInt8>) {
    let bytes = Array(bytes)
    guard bytes.count >= Field.exponent else { return nil }
    let bitCount = bytes.span.uint32(at: Field.modulusBitCount)
    guard bytes.span.uint32(at: Field.version) == Self.formatVersion, Self.keyBitCounts.contains(bitCount),
      bytes.span.uint32(at: Field.exponentBitCount) == bitCount
    else { return nil }
    width = Int(bitCount) / 8
    let byteCount = Field.exponent + 3 * width
    guard bytes.count >= byteCount else { return nil }
    self.bytes = Array(bytes[..<byteCount])
  }

  public init?(_ bytes: [UInt8]) {
    self.init(prefixOf: bytes[...])
    guard self.bytes.count == bytes.count else { return nil }
  }

  public var keyID: [UInt8] { Array(bytes[Field.keyID]) }
  public var certifyingKeyID: [UInt8] { Array(bytes[Field.certifyingKeyID]) }
  var usageField: UInt32 { bytes.span.uint32(at: Field.usage) }
  public var usage: SEVCertificate.Usage? { SEVCertificate.Usage(rawValue: usageField) }

  /// The algorithm of what this key signs.
  var signatureAlgorithm: SEVCertificate.Algorithm { width == 256 ? .rsaSHA256 : .rsaSHA384 }

  private var key: _RSA.Signing.PublicKey? {
    let exponent = bytes[Field.exponent..<(Field.exponent + width)].reversed().drop { $0 == 0 }
    let modulus = bytes[(Field.exponent + width)..<(Field.exponent + 2 * width)].reversed()
    return try? _RSA.Signing.PublicKey(n: Array(modulus), e: Array(exponent))
  }

  /// Whether `signer` signed this certificate, which a root does itself.
  public func isSigned(by signer: AMDCertificate) -> Bool {
    let start = Field.exponent + 2 * width
    return certifyingKeyID == signer.keyID && signer.width == width
      && signer.isSignature(bytes[start...], of: bytes[..<start])
  }

  /// Whether this key signed `certificate`, in either of its slots.
  public func signed(_ certificate: SEVCertificate) -> Bool {
    SEVCertificate.Slot.allCases.contains { slot in
      certificate.signer(in: slot) == usage
        && certificate.signatureAlgorithm(in: slot) == signatureAlgorithm
        && isSignature(certificate.bytes[slot.signature].prefix(width), of: certificate.body)
    }
  }

  private func isSignature(_ signature: ArraySlice<UInt8>, of message: ArraySlice<UInt8>) -> Bool {
    guard let key else { return false }
    let signature = _RSA.Signing.RSASignature(rawRepresentation: Array(signature.reversed()))
    return width == 256
      ? key.isValidSignature(signature, for: SHA256.hash(data: message), padding: .PSS)
      : key.isValidSignature(signature, for: SHA384.hash(data: message), padding: .PSS)
  }
}
