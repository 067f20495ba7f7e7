import BatonWire
import EncryptionStatus
import LinuxOS
import MigrationCore
import RemoteMigration
import SEVABI
import SEVDevice

/// The source's part of a migration's preflight: everything that can be said before the other host is asked.
struct MigrationChecks {
  private(set) var checks: [PreflightCheck] = []
  /// Why it must not be tried; the first one found.
  private(set) var failure: MigrationFailure?
  private(set) var parties: MigrationAgreement.Parties = []

  init(_ instance: GuestInstance, _ encryption: SEVOutgoingMemory?) {
    devices(instance)
    guard let encryption else { return }
    agreement(instance)
    policy(encryption)
  }

  private mutating func pass(_ name: String, _ detail: String) {
    checks.append(PreflightCheck(name: name, verdict: .pass, detail: detail))
  }

  private mutating func fail(_ name: String, _ refusal: Refusal, _ detail: String, _ remedy: String) {
    checks.append(PreflightCheck(name: name, verdict: .fail, detail: detail, remedy: remedy))
    if failure == nil { failure = MigrationFailure(refusal, detail) }
  }

  private mutating func devices(_ instance: GuestInstance) {
    if instance.devices.disk != nil {
      fail(
        "migrationDevices", .sourceDeclined, "the guest writes to a disk image of this host",
        "only guests without --disk can go to another host")
    } else if instance.named.count > 0 {
      fail(
        "migrationDevices", .sourceDeclined,
        "the guest has descriptors of this host: \(instance.names.joined(separator: ", "))",
        "only guests without --fd can go to another host")
    } else {
      pass("migrationDevices", "nothing of the guest's is bound to this host")
    }
  }

  private mutating func agreement(_ instance: GuestInstance) {
    let status = instance.currentMemoryStatus
    let agreement = MigrationAgreement(
      AgreementFacts(
        features: status.isOffered ? PageStatus.mapRangeFeature | PageStatus.migrationControlFeature : 0,
        handlesExits: instance.kind == .software, firmware: instance.options.firmwareStanding, status: status)
    )
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

  private mutating func policy(_ encryption: SEVOutgoingMemory) {
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

extension GuestInstance {
  /// What the guest has said about its memory. A guest on real vCPUs says nothing: it makes no such calls.
  var currentMemoryStatus: MemoryEncryptionStatus {
    memoryStatus?.value ?? MemoryEncryptionStatus(isEncrypted: sev != nil, isOffered: false)
  }
}

extension VMMOptions {
  /// What the firmware of the guest says about migration.
  var firmwareStanding: FirmwareStanding {
    guard let uefiVariables else { return .none }
    do throws(SystemError) {
      return FirmwareStanding(variableStore: try Self.read(uefiVariables))
    } catch {
      return FirmwareStanding(variableStore: [])
    }
  }

  /// A fresh guest is offered what this VMM can do; its kernel agrees unless its firmware does not.
  func freshMemoryStatus() throws(SystemError) -> MemoryStatus {
    let standing: FirmwareStanding =
      try uefiVariables.map { path throws(SystemError) in
        FirmwareStanding(variableStore: try Self.read(path))
      } ?? .none
    return MemoryStatus(isOffered: offersMigration, saysReady: guestAgrees && standing.agrees)
  }

  /// A variable store has 528 KiB, with OVMF's code 4 MiB.
  private static func read(_ path: String) throws(SystemError) -> [UInt8] {
    try Files.open(path, .readOnly).read(count: 16 << 20, at: 0)
  }
}
