/// Which pages the guest writes, as KVM logs it.
///
/// Only what goes through KVM is logged: vCPUs and devices in the kernel. What the VMM itself writes into guest
/// memory it must note itself.
extension KVMVirtualMachine {
  /// `KVM_MEM_LOG_DIRTY_PAGES`.
  private static let logsDirtyPages: UInt32 = 1

  /// From now on every write of the guest is logged. What was written before is not: count all pages as dirty
  /// first (``KVMDirtyPages/insertAll()``).
  ///
  /// The guest may run. It runs more slowly, since it faults at the first write to each page.
  public func startDirtyLog() throws(KVMError) {
    for (slot, range) in memory.enumerated() {
      try Self.setMemory(handle, slot, range, flags: Self.logsDirtyPages)
    }
  }

  /// Ends the log; what was not collected is forgotten.
  public func stopDirtyLog() throws(KVMError) {
    for (slot, range) in memory.enumerated() { try Self.setMemory(handle, slot, range) }
  }

  /// Adds what was written since the last call and clears the log (`KVM_GET_DIRTY_LOG`).
  ///
  /// The guest may run: a page that is written while it is copied is dirty again afterwards, if it is collected
  /// before it is copied. With no vCPU running, after the last call, no write is missed.
  ///
  /// - Throws: ENOENT without ``startDirtyLog()``.
  /// - Complexity: O(pages) bits, about 32 KiB for 1 GiB of memory.
  public func collectDirtyPages(into pages: inout KVMDirtyPages) throws(KVMError) {
    for (slot, range) in memory.enumerated() {
      let count = Int(range.byteCount / KVMDirtyPages.pageByteCount)
      // The kernel writes whole words of 64 pages.
      var bitmap = [UInt64](repeating: 0, count: (count + 63) / 64)
      try fetchDirtyLog(slot, into: &bitmap)
      pages.add(bitmap, toSlot: slot)
    }
  }

  private func fetchDirtyLog(_ slot: Int, into bitmap: inout [UInt64]) throws(KVMError) {
    try unsafe bitmap.withUnsafeMutableBufferPointer { (buffer) throws(KVMError) in
      // struct kvm_dirty_log: slot 4, padding 4, address of the bitmap 8.
      var log = [UInt8](repeating: 0, count: 16)
      log.setInteger(UInt32(slot), at: 0)
      // SAFETY: the buffer has a bit for each page of the slot, and is the kernel's during the call only.
      let address = UInt(bitPattern: buffer.baseAddress)
      log.setInteger(UInt64(address), at: 8)
      try handle.exchange(.getDirtyLog, &log)
    }
  }
}
