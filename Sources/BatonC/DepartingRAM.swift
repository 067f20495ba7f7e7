import BatonWire
import EncryptionStatus
import LinuxOS
import MigrationCore
import RemoteMigration
import SEVABI
import SEVDevice

/// A guest that goes to another host, as the library sees it.
final class DepartingRAM: OutgoingGuest {
  let ram: GuestRAM
  let encryption: (any OutgoingEncryption)?
  private let sev: SEVOutgoingMemory?
  private let file: OwnedDescriptor
  private let dirtyLog: CDirtyLog
  private var isLogging = false

  /// - Throws: ``MigrationFailure`` when the SEV device does not answer.
  init(_ source: CSource) throws {
    file = try OwnedDescriptor.duplicate(of: source.guest.ram[0])
    ram = source.ram
    dirtyLog = source.dirtyLog
    if let vm = source.vm, let regions = source.regions {
      let made = try SEVOutgoingMemory(
        .kernel, vm: OwnedDescriptor.duplicate(of: vm), trustsModelRoot: source.trustsModelRoot
      ) { regions.now }
      sev = made
      encryption = made
    } else {
      sev = nil
      encryption = nil
    }
  }

  var kind: SEVKind {
    guard let sev else { return .none }
    return sev.hasEncryptedState ? .sevES : .sev
  }
  var policy: UInt32 { sev?.policy.rawValue ?? 0 }

  /// What can be said before the other host is asked.
  func check(_ source: CSource, _ checks: inout SourceChecks) {
    if let name = source.guest.manifest.names.first {
      checks.fail(
        "migrationDevices", .sourceDeclined, "the guest has descriptors of this host, such as \(name)",
        "only guests without descriptors of their host can go to another one")
    } else {
      checks.pass("migrationDevices", "nothing of the guest's is bound to this host")
    }
    guard let sev, let regions = source.regions else { return }
    let status = regions.now
    checks.agreement(
      AgreementFacts(
        features: status.offeredFeatures, handlesExits: true, firmware: source.firmware, status: status))
    checks.policy(sev)
  }

  func populatedPages() -> PageBitmap? { ram.populatedPages(of: file) }

  func startDirtyLog() throws(MigrationFailure) {
    try dirtyLog.start()
    isLogging = true
  }

  func takeDirtyPages(into pages: inout PageBitmap) throws(MigrationFailure) {
    try dirtyLog.take(into: &pages)
  }

  func stopDirtyLog() {
    guard isLogging else { return }
    isLogging = false
    dirtyLog.stop()
  }
}
