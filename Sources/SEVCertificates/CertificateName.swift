/// The certificates that a machine shows before a guest is sent to it.
public enum CertificateName: String, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  /// AMD's root, one for each generation of processors.
  case ark = "ARK"
  /// AMD's signing key, signed by the root.
  case ask = "ASK"
  /// The chip's endorsement key, signed by the ASK.
  case cek = "CEK"
  /// The certificate authority of the machine's owner, signed by itself.
  case oca = "OCA"
  /// The platform's endorsement key, signed by the owner's authority and by the chip.
  case pek = "PEK"
  /// The platform's Diffie-Hellman key, signed by the PEK: what a guest's keys are wrapped for.
  case pdh = "PDH"

  public var description: String { rawValue }

  /// What the certificate's usage field must say.
  var usage: SEVCertificate.Usage {
    switch self {
    case .ark: .amdRoot
    case .ask: .amdSigning
    case .cek: .chipEndorsement
    case .oca: .owner
    case .pek: .platformEndorsement
    case .pdh: .diffieHellman
    }
  }

  /// The certificate whose usage field says so; nothing for an empty slot and for what does not exist.
  init?(usage: UInt32) {
    guard let name = Self.allCases.first(where: { $0.usage.rawValue == usage }) else { return nil }
    self = name
  }
}
