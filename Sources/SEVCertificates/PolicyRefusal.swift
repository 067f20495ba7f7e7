/// Why a guest's policy, which the firmware enforces, or its target's certificates forbid a migration. Found
/// before the first page, so that the guest has not noticed anything.
public enum PolicyRefusal: Error, Hashable, Sendable, CustomStringConvertible {
  /// NOSEND is set.
  case noSending
  /// Bits 6 to 15, which must be zero.
  case reservedBits(UInt32)
  /// The source's firmware is older than the policy allows.
  case sourceTooOld(has: APIVersion, needs: APIVersion)
  /// The target's firmware is older than the policy allows.
  case targetTooOld(has: APIVersion, needs: APIVersion)
  /// ES is set, and the source's kernel cannot send the registers of a vCPU.
  case encryptedStateNotSendable
  /// ES is set, and the target's kernel cannot receive the registers of a vCPU.
  case encryptedStateNotReceivable
  /// ES is set, and the target runs no SEV-ES guests.
  case targetWithoutEncryptedState
  /// DOMAIN is set, and the target's owner is another one than the source's.
  case otherDomain
  /// DOMAIN is set, and the source does not know its own owner's certificate.
  case ownDomainUnknown
  /// SEV is set, and the target does not prove that it is a genuine AMD machine.
  case notGenuine(CertificateError)
  /// A certificate of the target is not believed.
  case certificate(CertificateError)

  /// What sort of refusal it is.
  public enum Kind: Hashable, Sendable {
    /// The target's certificates are at fault.
    case certificate
    /// The guest's encrypted registers cannot travel.
    case encryptedState
    /// The policy forbids it.
    case policy
  }

  public var kind: Kind {
    switch self {
    case .notGenuine, .certificate: .certificate
    case .encryptedStateNotSendable, .encryptedStateNotReceivable, .targetWithoutEncryptedState:
      .encryptedState
    case .noSending, .reservedBits, .sourceTooOld, .targetTooOld, .otherDomain, .ownDomainUnknown: .policy
    }
  }

  public var description: String {
    switch self {
    case .noSending:
      "The guest's policy has NOSEND: its owner forbade to send it to another machine, and the firmware refuses "
        + "it. It can only be moved on this host or be started anew"
    case .reservedBits(let bits):
      "The guest's policy has reserved bits set (0x\(String(bits, radix: 16))), which no firmware accepts"
    case .sourceTooOld(let has, let needs):
      "The guest's policy needs firmware API \(needs), and the source has \(has)"
    case .targetTooOld(let has, let needs):
      "The guest's policy needs firmware API \(needs), and the target has \(has). Update the target's SEV firmware"
    case .encryptedStateNotSendable:
      "The guest's policy has ES, and the source's kernel cannot send a vCPU's encrypted registers "
        + "(SEND_UPDATE_VMSA). Mainline Linux cannot"
    case .encryptedStateNotReceivable:
      "The guest's policy has ES, and the target's kernel cannot receive a vCPU's encrypted registers "
        + "(RECEIVE_UPDATE_VMSA). Mainline Linux cannot"
    case .targetWithoutEncryptedState:
      "The guest's policy has ES, and the target has no SEV-ES. Turn it on in the target's kernel and firmware "
        + "settings"
    case .otherDomain:
      "The guest's policy has DOMAIN, and the target's owner certificate (OCA) is another one than the source's. "
        + "Import the same OCA on both with PEK_CERT_IMPORT"
    case .ownDomainUnknown:
      "The guest's policy has DOMAIN, and the source cannot read its own owner certificate (OCA)"
    case .notGenuine(let error):
      "The guest's policy has SEV, and the target does not prove that it is a genuine AMD machine. \(error)"
    case .certificate(let error): error.description
    }
  }
}
