import BatonWire
import EncryptionStatus
import LinuxOS
import MigrationCore
import RemoteMigration

/// A guest of this process as the source of a migration.
final class DepartingInstance: OutgoingGuest {
  let ram: GuestRAM
  let encryption: (any OutgoingEncryption)?
  private let instance: GuestInstance

  init(_ instance: GuestInstance, _ encryption: SEVOutgoingMemory?) throws(MigrationFailure) {
    guard let ram = GuestRAM(instance.mapping, regions: instance.options.configuration.ramRegions) else {
      throw MigrationFailure(.badManifest, "the guest's RAM is not what its manifest says")
    }
    self.instance = instance
    self.ram = ram
    self.encryption = encryption
  }

  func populatedPages() -> PageBitmap? { ram.populatedPages(of: instance.ram) }

  func startDirtyLog() throws(MigrationFailure) {
    do throws(MachineError) { try instance.machine.startDirtyLog() } catch {
      throw MigrationFailure(.sourceDeclined, "the guest's writes cannot be followed: \(error)")
    }
  }

  func takeDirtyPages(into pages: inout PageBitmap) throws(MigrationFailure) {
    do throws(MachineError) { try instance.machine.takeDirtyPages(into: &pages) } catch {
      throw MigrationFailure(.sourceDeclined, "the guest's writes cannot be followed: \(error)")
    }
  }

  func stopDirtyLog() { instance.machine.stopDirtyLog() }
}

/// A guest that comes from another host, as far as it is here.
final class ArrivingInstance: IncomingGuest {
  let instance: GuestInstance
  let ram: GuestRAM
  let encryption: (any IncomingEncryption)?

  init(_ instance: GuestInstance, _ vendor: VendorCertificates) throws {
    guard let ram = GuestRAM(instance.mapping, regions: instance.options.configuration.ramRegions) else {
      throw MigrationFailure(.badManifest, "the guest's RAM is not what its manifest says")
    }
    self.instance = instance
    self.ram = ram
    encryption = try instance.sev?.incomingMemory(vendor) {
      [memoryStatus = instance.memoryStatus] (regions) throws(MigrationFailure) in
      guard let memoryStatus else { return }
      var status = memoryStatus.value
      do throws(SharedRegionsError) { try status.loadRegions(regions.encoded()) } catch {
        throw MigrationFailure(.streamDamaged, "the list of shared pages: \(error)")
      }
      memoryStatus.value = status
    }
  }
}
