import BatonWire
import EncryptionStatus
import LinuxOS
import MigrationCore
import RemoteMigration
import SEVDevice

/// What was made for a guest that comes from another host, as the library sees it.
final class ArrivingRAM: IncomingGuest {
  let ram: GuestRAM
  let encryption: (any IncomingEncryption)?

  /// - Throws: ``MigrationFailure`` when this is not what is offered, or the SEV device does not want it.
  init(_ target: CTarget, _ offer: MachineOffer) throws {
    ram = target.ram
    let made = target.guest.manifest
    guard made.regions == offer.manifest.regions, made.vcpuCount == offer.manifest.vcpuCount else {
      throw MigrationFailure(
        .badManifest, "the target's VMM made RAM or vCPUs that are not those of the guest that is offered")
    }
    guard (offer.kind == .none) == (target.vm == nil) else {
      throw MigrationFailure(
        .badManifest,
        offer.kind == .none
          ? "the guest is no SEV guest, and the target's VMM made a VM for one"
          : "the guest is a SEV guest, and the target's VMM made no VM for one")
    }
    guard let vm = target.vm, let regions = target.regions else {
      encryption = nil
      return
    }
    let sev = try SEVIncomingMemory(
      SEVDevice.kernel.openSession(), vm: OwnedDescriptor.duplicate(of: vm), firmware: target.firmware,
      vendor: target.vendor
    ) { (shared: SharedRegions) throws(MigrationFailure) in
      do throws(SharedRegionsError) { try regions.load(shared) } catch {
        throw MigrationFailure(.streamDamaged, "the list of shared pages: \(error)")
      }
    }
    try sev.check(policy: offer.policy)
    encryption = sev
  }
}
