public import BatonWire
public import MigrationCore
import SEVABI

/// The source's part of a migration's preflight: everything that can be said before the other host is asked.
public struct SourceChecks: Sendable {
  public private(set) var checks: [PreflightCheck] = []
  /// Why it must not be tried; the first one found.
  public private(set) var failure: MigrationFailure?
  /// Who has not agreed; see ``agreement(_:)``.
  public private(set) var parties: MigrationAgreement.Parties = []

  public init() {}

  public mutating func pass(_ name: String, _ detail: String) {
    checks.append(PreflightCheck(name: name, verdict: .pass, detail: detail))
  }

  public mutating func fail(_ name: String, _ refusal: Refusal, _ detail: String, _ remedy: String) {
    checks.append(PreflightCheck(name: name, verdict: .fail, detail: detail, remedy: remedy))
    if failure == nil { failure = MigrationFailure(refusal, detail) }
  }

  /// Whether host, firmware and guest agree that an encrypted guest is migrated.
  public mutating func agreement(_ facts: AgreementFacts) {
    let agreement = MigrationAgreement(facts)
    parties = agreement.missingParties
    do throws(AgreementError) {
      try agreement.require()
      pass("migrationAgreement", "host, firmware and guest agree")
    } catch {
      fail(
        "migrationAgreement", .agreementMissing, "\(error)",
        "a guest migrates only when host, firmware and guest have agreed")
    }
  }

  /// Whether the guest's owner allows that it is sent, and this host can.
  public mutating func policy(_ encryption: SEVOutgoingMemory) {
    let policy = encryption.policy
    let bits = "0x" + String(policy.rawValue, radix: 16)
    if policy.contains(.noSending) {
      fail(
        "migrationPolicy", .policyForbids,
        "the guest's policy \(bits) forbids that it is sent to another host (NOSEND)",
        "the owner has to launch it with another policy")
    } else if policy.contains(.encryptedState), !encryption.sendsRegisters {
      fail(
        "migrationPolicy", .encryptedStateNotSendable,
        "the guest is SEV-ES, and this host's kernel cannot send encrypted registers (SEND_UPDATE_VMSA)",
        "no kernel can; hand the guest over on this host instead")
    } else {
      pass("migrationPolicy", "the guest's policy \(bits) allows that it is sent")
    }
  }
}
