public import LinuxOS
import SEVABI

/// The list of shared pages that the v10 live-migration series keeps in the kernel (never merged).
extension SEVSession {
  /// `KVM_GET_SHARED_PAGES_LIST`: the frames that the guest shares, as ranges of 4 KiB frame numbers.
  ///
  /// - Parameter capacity: The most ranges that are wanted.
  /// - Throws: ENOTTY on other kernels or for a VM that is no SEV guest; E2BIG if there are more ranges.
  public mutating func sharedPages(
    of machine: borrowing OwnedDescriptor, capacity: Int = 4096
  ) throws(SEVError) -> [Range<UInt64>] {
    let entry = SharedPagesList.entryByteCount
    var count = [UInt8](repeating: 0, count: 4)
    var entries = [UInt8](repeating: 0, count: capacity * entry)
    try withAddress(writing: &count) { (countAddress) throws(SEVError) in
      try withAddress(writing: &entries) { (bufferAddress) throws(SEVError) in
        area.storeArgument(
          SharedPagesList(
            countAddress: countAddress, bufferAddress: bufferAddress, size: UInt32(capacity * entry)))
        try check(.getSharedPages, on: machine)
      }
    }
    return (0..<min(capacity, Int(count.span.uint32(at: 0)))).compactMap { index in
      let (start, end) = (entries.span.uint64(at: index * entry), entries.span.uint64(at: index * entry + 8))
      return start < end ? start..<end : nil
    }
  }

  /// `KVM_SET_SHARED_PAGES_LIST`: appends ranges, or empties the list if there are none.
  public mutating func addSharedPages(
    _ ranges: [Range<UInt64>], to machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    let entries = SharedPagesList.encode(ranges)
    var count = [UInt8](repeating: 0, count: 4)
    var countSpan = count.mutableSpan
    countSpan.store(UInt32(ranges.count), at: 0)
    try withAddress(of: count) { (countAddress) throws(SEVError) in
      try withAddress(of: entries) { (bufferAddress) throws(SEVError) in
        area.storeArgument(
          SharedPagesList(
            countAddress: countAddress, bufferAddress: ranges.isEmpty ? 0 : bufferAddress,
            size: UInt32(entries.count)))
        try check(.setSharedPages, on: machine)
      }
    }
  }

  private func check(
    _ request: ModelWire.Request, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    let code = try send(request, on: machine, for: .sharedPages)
    guard code == 0 else { throw SEVError(.sharedPages, code: code) }
  }
}
