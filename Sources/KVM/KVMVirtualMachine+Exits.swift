/// What a guest does that KVM is to leave to the VMM.
extension KVMVirtualMachine {
  /// `KVM_HC_MAP_GPA_RANGE`.
  private static let mapRangeHypercall: UInt64 = 12

  /// Leaves the guest with ``KVMExit/hypercall(_:)`` when it reports pages as shared or private
  /// (`KVM_CAP_EXIT_HYPERCALL` with `KVM_HC_MAP_GPA_RANGE`). Without this such a guest is answered -1000.
  ///
  /// - Throws: EINVAL from a kernel without it (before 5.14).
  public func exitOnPageStatus() throws(KVMError) {
    try enable(.exitHypercall, 1 << Self.mapRangeHypercall)
  }

  /// Leaves the guest with ``KVMExit/readMSR(_:)`` and ``KVMExit/writeMSR(_:)`` when it accesses one of these
  /// MSRs, and for no other (`KVM_CAP_X86_USER_SPACE_MSR` and `KVM_X86_SET_MSR_FILTER`).
  ///
  /// - Parameter indices: At most 16, the number of ranges that a filter has. They replace earlier ones.
  /// - Throws: EINVAL from a kernel without it (before 5.10).
  public func interceptMSRs(_ indices: [UInt32]) throws(KVMError) {
    let filter = KVMMSRFilter(denying: indices)
    // The filter first: with the capability alone nothing is filtered, with the filter alone a guest would get
    // a fault, and no vCPU runs yet either way.
    try filter.install(on: handle)
    try enable(.userSpaceMSR, UInt64(KVMMSRAccess.Reason.filtered.rawValue))
  }

  private func enable(_ capability: KVMCapability, _ argument: UInt64) throws(KVMError) {
    // struct kvm_enable_cap: capability 4, flags 4, four arguments of 8, padding 64.
    var bytes = [UInt8](repeating: 0, count: 104)
    bytes.setInteger(UInt32(capability.rawValue), at: 0)
    bytes.setInteger(argument, at: 8)
    do throws(KVMError) {
      try handle.exchange(.enableCapability, &bytes)
    } catch {
      throw KVMError(
        error.request, on: "capability \(capability.rawValue) of \(error.subject)", code: error.code)
    }
  }
}

/// `struct kvm_msr_filter`, 392 bytes: flags, then 16 ranges of 24 bytes. Denies single registers and allows
/// everything else.
struct KVMMSRFilter {
  static let maximumRanges = 16
  private static let byteCount = 392
  private enum Range {
    static let first = 8
    static let byteCount = 24
    static let flags = 0
    static let count = 4
    static let base = 8
    static let bitmap = 16
    static let readAndWrite: UInt32 = 3
  }

  let denied: [UInt32]

  init(denying indices: [UInt32]) {
    precondition(indices.count <= Self.maximumRanges, "a filter has 16 ranges")
    denied = indices
  }

  /// - Parameter bitmap: The address of a zero byte: a bit that is 0 denies.
  func encoded(bitmap: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.byteCount)
    for (position, index) in denied.enumerated() {
      let start = Range.first + position * Range.byteCount
      bytes.setInteger(Range.readAndWrite, at: start + Range.flags)
      bytes.setInteger(UInt32(1), at: start + Range.count)
      bytes.setInteger(index, at: start + Range.base)
      bytes.setInteger(bitmap, at: start + Range.bitmap)
    }
    return bytes
  }

  func install(on handle: borrowing KVMHandle) throws(KVMError) {
    // The kernel reads whole words of a bitmap.
    var bitmap: UInt64 = 0
    try unsafe withUnsafeMutablePointer(to: &bitmap) { (pointer) throws(KVMError) in
      // SAFETY: the kernel copies the bitmaps during the call.
      var bytes = encoded(bitmap: UInt64(UInt(bitPattern: pointer)))
      try handle.exchange(.setMSRFilter, &bytes)
    }
  }
}
