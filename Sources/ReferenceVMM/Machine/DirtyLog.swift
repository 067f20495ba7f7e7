import GuestImage
import LinuxOS
import RemoteMigration
import Synchronization

/// Which pages the software vCPUs of one machine have written: what KVM's dirty log is for real ones.
final class DirtyLog: Sendable {
  private let isOn = Atomic<Bool>(false)
  private let pages: AtomicBitmap

  init(_ memory: SharedMapping) {
    pages = AtomicBitmap(count: max(1, memory.byteCount / GuestABI.pageBytes))
  }

  /// Notes that the page at a RAM offset was written. Called after the writing.
  @inline(__always)
  func note(_ offset: Int) {
    if isOn.load(ordering: .relaxed) { pages.set(offset / GuestABI.pageBytes) }
  }

  // Control thread.

  /// Begins anew. No vCPU runs.
  func start() {
    pages.clear()
    isOn.store(true, ordering: .sequentiallyConsistent)
  }

  func stop() { isOn.store(false, ordering: .relaxed) }

  func take(into bitmap: inout PageBitmap) { bitmap.formUnion { pages.take(into: &$0) } }
}
