import Crypto
import CryptoExtras
import SEVCertificates

/// Bytes written as hexadecimal digits.
func bytes(hex: String) -> [UInt8] {
  let digits = hex.compactMap { $0.hexDigitValue.map(UInt8.init) }
  return stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// The six certificates of a machine, so that a test can change one.
struct Chain {
  private var certificates: [CertificateName: [UInt8]]

  /// The real machine's.
  static let naples = Chain(certificates: [
    .ark: NaplesChain.ark, .ask: NaplesChain.ask, .cek: NaplesChain.cek, .oca: NaplesChain.oca,
    .pek: NaplesChain.pek, .pdh: NaplesChain.pdh,
  ])

  subscript(name: CertificateName) -> [UInt8] {
    get { certificates[name] ?? [] }
    set { certificates[name] = newValue }
  }

  /// As a target shows them.
  var shown: TargetCertificates {
    TargetCertificates(
      pdh: self[.pdh], platform: self[.pek] + self[.oca] + self[.cek], amd: self[.ask] + self[.ark])
  }

  /// What is wrong with them; nothing if they are believed.
  func fault(roots: TrustedRoots = .amd, minimumAPI: APIVersion = .zero) -> CertificateError? {
    do throws(CertificateError) {
      _ = try shown.verify(roots: roots, minimumAPI: minimumAPI)
      return nil
    } catch {
      return error
    }
  }

  mutating func flip(bit: Int, of name: CertificateName) {
    self[name][bit / 8] ^= 1 << UInt8(bit % 8)
  }
}

/// A root that somebody else made.
struct ForeignRoot {
  let certificate: [UInt8]

  /// - Parameter keyID: 16 bytes.
  init(keyID: [UInt8]) throws {
    let key = try _RSA.Signing.PrivateKey(keySize: .bits2048)
    let (modulus, exponent) = try Self.numbers(key.publicKey)
    var body: [UInt8] = [1, 0, 0, 0] + keyID + keyID + [UInt8](repeating: 0, count: 4 + 16)
    body += [0, 8, 0, 0, 0, 8, 0, 0]
    body += Self.field(exponent) + Self.field(modulus)
    let signature = try key.signature(for: SHA256.hash(data: body), padding: .PSS)
    certificate = body + signature.rawRepresentation.reversed()
  }

  private static func numbers(_ key: _RSA.Signing.PublicKey) throws -> (n: [UInt8], e: [UInt8]) {
    let primitives = try key.getKeyPrimitives()
    return (Array(primitives.modulus), Array(primitives.publicExponent))
  }

  /// A big-endian number as 256 bytes, little-endian.
  private static func field(_ number: [UInt8]) -> [UInt8] {
    number.reversed() + [UInt8](repeating: 0, count: 256 - number.count)
  }
}
