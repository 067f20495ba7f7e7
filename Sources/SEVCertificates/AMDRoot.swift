import Crypto

/// A root that is known before anybody shows it: AMD's, one for each generation of processors, and the one of
/// the software model.
///
/// A root is pinned by its key id and by the SHA-256 of the whole certificate, which are public in AMD's key
/// distribution service and in the built-in chains of virtee/sev.
public enum AMDRoot: String, CaseIterable, Hashable, Sendable {
  case naples, rome, milan, genoa, turin
  /// The root of the software model, which proves nothing: the key that signs with it is public.
  case model

  /// The ARK's key id, 16 bytes in the order of the file.
  public var keyID: [UInt8] {
    switch self {
    case .naples: hexadecimal("1bb987c359494606b174945601c9ea5b")
    case .rome: hexadecimal("e6002122fb58419399d15fee7b131351")
    case .milan: hexadecimal("94c38e4177d0479292a7ae671d083fb6")
    case .genoa: hexadecimal("9f9d4a8fe761456599f6946c4c010f3a")
    case .turin: hexadecimal("d05c3a8bde484904b49552422ceb3942")
    case .model: Array("SEVMODEL TESTARK".utf8)
    }
  }

  /// SHA-256 of the whole certificate.
  public var digest: [UInt8] {
    switch self {
    case .naples: hexadecimal("dedabca561e1dece8cc00b7bda864cf5f20b95017864408cfe18eaee0dce24b9")
    case .rome: hexadecimal("865977b268c16d5b27772b00aaefb4e737ba9499e818ed8e9f65b0cecefbc529")
    case .milan: hexadecimal("1246469862b78a7a8625579b0378d1f8e975eb8b82a1623b579d7968a5969888")
    case .genoa: hexadecimal("8f4e3fd36589c23f1fe0c8338465bac7e2e066d97fc92f228bbee4fd356fb674")
    case .turin: hexadecimal("f6405e5096a6eee1eb7d5df75c49f9b9f7c8357a31c7fff150149d68588a7bf7")
    case .model: hexadecimal("d02fa58a8a97fc71f38cdfbbe37963b554e1e98c45374af1d4c04cc1c1cc8ca1")
    }
  }

  /// The root whose key id is this one.
  init?(keyID: [UInt8]) {
    guard let root = Self.allCases.first(where: { $0.keyID == keyID }) else { return nil }
    self = root
  }

  /// Whether a certificate is this root, to the last bit.
  package func isKey(of root: AMDCertificate) -> Bool {
    root.keyID == keyID && Array(SHA256.hash(data: root.bytes)) == digest
  }
}

/// The roots that a chain may lead to.
public struct TrustedRoots: Hashable, Sendable {
  let accepted: Set<AMDRoot>

  /// AMD's own: what proves that a machine is a genuine one.
  public static let amd = TrustedRoots(accepted: Set(AMDRoot.allCases).subtracting([.model]))
  /// AMD's and the software model's. Only where somebody said that the model is to be used: whoever has this
  /// program can sign with the model's root.
  public static let amdAndModel = TrustedRoots(accepted: Set(AMDRoot.allCases))
}
