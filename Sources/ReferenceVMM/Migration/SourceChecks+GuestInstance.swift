import BatonWire
import EncryptionStatus
import LinuxOS
import MigrationCore
import RemoteMigration
import SEVABI
import SEVDevice

extension SourceChecks {
  /// What can be said of a guest of this VMM.
  init(_ instance: GuestInstance, _ encryption: SEVOutgoingMemory?) {
    self.init()
    devices(instance)
    guard let encryption else { return }
    let status = instance.currentMemoryStatus
    agreement(
      AgreementFacts(
        features: status.offeredFeatures, handlesExits: instance.kind == .software,
        firmware: instance.options.firmwareStanding, status: status))
    policy(encryption)
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
