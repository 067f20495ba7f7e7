import CLinux

extension SharedMapping {
  /// Makes every page of a range present, so that no later access to it faults.
  ///
  /// - Parameters:
  ///   - offset: In bytes, a multiple of the page size, as is `count`.
  /// - Throws: `ENOMEM` when pages that do not exist yet cannot be allocated.
  /// - Complexity: O(pages).
  ///
  /// The corresponding C function is `madvise` with `MADV_POPULATE_READ`.
  public func populate(at offset: Int, count: Int) throws(SystemError) {
    precondition(
      offset >= 0 && count >= 0 && offset <= byteCount - count, "populating outside of the mapping")
    let start = address + UInt(offset)
    _ = try checked(.madvise, on: "\(count) bytes") {
      // SAFETY: the range was checked against the mapping, which lives as long as self.
      unsafe Int(clinux_populate(UnsafeMutableRawPointer(bitPattern: start), count))
    }
  }

  /// Makes every page present, piece by piece.
  ///
  /// - Parameters:
  ///   - size: Of a piece, in bytes, a multiple of the page size.
  ///   - goesOn: Asked before each piece, with its offset in bytes; false leaves it and the rest as they are.
  /// - Throws: `ENOMEM` when pages that do not exist yet cannot be allocated.
  public func populate(pieces size: Int, while goesOn: (_ offset: Int) -> Bool) throws(SystemError) {
    for offset in stride(from: 0, to: byteCount, by: size) {
      guard goesOn(offset) else { return }
      try populate(at: offset, count: min(size, byteCount - offset))
    }
  }

  /// Takes every page out of this process's page tables, so that a later unmapping, or this process's end, takes no
  /// time. The memfd keeps their contents; who uses a page gets it back by a fault.
  ///
  /// - Complexity: O(pages) (measured: 17 ms for each GiB); other threads go on meanwhile.
  ///
  /// The corresponding C function is `madvise` with `MADV_DONTNEED`.
  public func unpopulate() throws(SystemError) {
    _ = try checked(.madvise, on: "\(byteCount) bytes") {
      // SAFETY: the mapping lives as long as self, and it is a shared one: nothing is lost with the page tables.
      unsafe Int(clinux_unpopulate(UnsafeMutableRawPointer(bitPattern: address), byteCount))
    }
  }
}
