package import Crypto
import SEVABI

/// A SEV certificate that carries a Diffie-Hellman key (PDH or an owner's), 2084 bytes.
///
/// Only what the firmware reads at LAUNCH_START; signatures are not looked at there.
package struct DiffieHellmanCertificate {
  package static let byteCount = 2084
  /// Numbers of the certificate format.
  private enum Code {
    static let version: UInt32 = 1
    static let usageDiffieHellman: UInt32 = 0x1003
    static let ecdhSHA256: UInt32 = 3
    static let curveP384: UInt32 = 2
  }
  private static let coordinateByteCount = 48
  private static let coordinateFieldByteCount = 72

  package let key: P384.KeyAgreement.PublicKey

  /// Reads the key, or nothing unless the certificate is of version 1, for key agreement, and its key is a
  /// point of P-384.
  package init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    let fields = bytes.span
    guard fields.uint32(at: 0) == Code.version, fields.uint32(at: 8) == Code.usageDiffieHellman,
      fields.uint32(at: 12) == Code.ecdhSHA256, fields.uint32(at: 16) == Code.curveP384,
      let x = Self.coordinate(bytes, at: 20), let y = Self.coordinate(bytes, at: 92),
      let key = try? P384.KeyAgreement.PublicKey(x963Representation: [0x04] + x + y)
    else { return nil }
    self.key = key
  }

  /// A coordinate as big-endian bytes; the certificate has it little-endian in a wider field.
  private static func coordinate(_ bytes: [UInt8], at offset: Int) -> [UInt8]? {
    let field = bytes[offset..<(offset + coordinateFieldByteCount)]
    guard field.dropFirst(coordinateByteCount).allSatisfy({ $0 == 0 }) else { return nil }
    return field.prefix(coordinateByteCount).reversed()
  }
}
