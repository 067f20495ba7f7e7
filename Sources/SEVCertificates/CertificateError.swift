/// A certificate of the target that is not believed: which one, and why.
public struct CertificateError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Why a certificate is refused. Checked in this order for each certificate, and the certificates in the order
  /// of ``CertificateName``, from the root down.
  public enum Reason: Hashable, Sendable {
    /// So many bytes are there.
    case wrongLength(Int, expected: [Int])
    /// Another version of the certificate format than 1.
    case unknownFormat(UInt32)
    /// An RSA key that is neither of 2048 nor of 4096 bits.
    case wrongKeySize(UInt32)
    /// Another certificate (or none that exists) is in its place: the chain is in the wrong order.
    case wrongUsage(UInt32)
    /// The key is of an algorithm that this certificate cannot have.
    case wrongAlgorithm(UInt32)
    /// The key is no point of the curve P-384.
    case badKey
    /// Neither slot has a signature of this signer.
    case unsigned(by: CertificateName)
    /// The signer's slot names another algorithm than the signer's key has.
    case wrongSignatureAlgorithm(by: CertificateName)
    /// The signature is wrong, or what was signed is not what is here: a bit differs.
    case badSignature(by: CertificateName)
    /// The certificate says that another key signed it (key id, 16 bytes).
    case wrongIssuer([UInt8])
    /// The root is none of AMD's (key id, 16 bytes).
    case unknownRoot([UInt8])
    /// The root has the key id of a known one and is another certificate.
    case wrongRoot(AMDRoot)
    /// The root is the software model's, which was not allowed.
    case modelRoot
    /// The firmware that made it is older than the guest's policy allows.
    case apiTooOld(has: APIVersion, needs: APIVersion)
    /// The signed certificate is for another key than the exported one.
    case foreignKey
  }

  public let certificate: CertificateName
  public let reason: Reason

  public init(_ certificate: CertificateName, _ reason: Reason) {
    self.certificate = certificate
    self.reason = reason
  }

  public var description: String { "The target's \(certificate) certificate is refused: \(sentence)" }

  private var sentence: String {
    switch reason {
    case .wrongLength(let count, let expected):
      "\(count) bytes are there instead of \(expected.map(String.init).joined(separator: " or "))"
    case .unknownFormat(let version): "it has format version \(version), and only 1 is known"
    case .wrongKeySize(let bits): "its RSA key has \(bits) bits instead of 2048 or 4096"
    case .wrongUsage(let usage):
      if let found = CertificateName(usage: usage) {
        "the \(found) is in its place, so the chain is in the wrong order"
      } else {
        "its usage 0x\(String(usage, radix: 16)) is none that a certificate has"
      }
    case .wrongAlgorithm(let algorithm):
      "its key is for algorithm 0x\(String(algorithm, radix: 16)), which it cannot have"
    case .badKey: "its key is no point of the curve P-384"
    case .unsigned(let signer):
      if certificate == .cek {
        "it carries no signature of the \(signer). The firmware exports it without one: fetch the signed CEK of "
          + "this chip from AMD's key distribution service"
      } else {
        "it carries no signature of the \(signer)"
      }
    case .wrongSignatureAlgorithm(let signer):
      "its signature of the \(signer) names another algorithm than the key of the \(signer) has"
    case .badSignature(let signer):
      "the signature of the \(signer) does not fit: a bit of the certificate, of the signature or of the "
        + "\(signer)'s key differs"
    case .wrongIssuer(let id): "it was signed by the key \(hexadecimalDigits(id)), which is not in the chain"
    case .unknownRoot(let id): "no root of AMD has the key id \(hexadecimalDigits(id))"
    case .wrongRoot(let root):
      "it has the key id of the \(root.rawValue) root and is another certificate"
    case .modelRoot:
      "it is the root of the software model, which proves nothing and was not allowed here"
    case .apiTooOld(let has, let needs):
      "it was made by firmware API \(has), and the guest's policy needs \(needs) or newer. Update the target's "
        + "SEV firmware and make a new PEK there"
    case .foreignKey: "the signed one is for another key than the one that the firmware exported"
    }
  }
}
