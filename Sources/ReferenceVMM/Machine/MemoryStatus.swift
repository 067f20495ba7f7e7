import EncryptionStatus
import GuestImage
import MigrationCore
import SEVABI
import Synchronization

/// What a guest with encrypted memory says about its pages, and what its VMM keeps of it.
///
/// Software vCPUs make the guest's calls; what answers them is what answers KVM's exits of real ones.
final class MemoryStatus: Sendable {
  private let status: Mutex<MemoryEncryptionStatus>
  /// Whether a fresh guest says that it may be migrated: its kernel does unless its firmware forbids it.
  private let saysReady: Bool

  init(isOffered: Bool, saysReady: Bool) {
    status = Mutex(MemoryEncryptionStatus(isEncrypted: true, isOffered: isOffered))
    self.saysReady = saysReady
  }

  var value: MemoryEncryptionStatus {
    get { status.withLock { $0 } }
    set { status.withLock { $0 = newValue } }
  }

  // MARK: The guest

  /// What the guest's kernel does when it starts: names the pages that it shares with the VMM, and then says that
  /// it does so. (The guest's header and vCPU pages, which the VMM reads.)
  func guestStarts() {
    let first = UInt64(GuestABI.headerOffset)
    let end = UInt64(GuestABI.vcpuPagesOffset + GuestABI.maximumVCPUs * GuestABI.pageBytes)
    let pages = (end - first) / UInt64(GuestABI.pageBytes)
    status.withLock {
      // Attributes 0: pages of 4 KiB, not encrypted. A guest that was not offered the call gets an error, and goes on.
      _ = $0.hypercall(HypercallExit(number: PageStatus.hypercall, arguments: [first, pages, 0]))
      if saysReady { _ = $0.writeMSR(PageStatus.migrationControlMSR, PageStatus.migrationReady) }
    }
  }
}
