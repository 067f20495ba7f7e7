import Glibc

/// Ranges of guest RAM on their way to another machine and from one: copied once, and not at all when zero.
extension SharedMapping {
  /// Whether every byte of a range is zero.
  ///
  /// - Parameters:
  ///   - offset: In bytes, a multiple of 8, as is `count`.
  /// - Complexity: O(count), and a few loads for a range that begins with something.
  public func isZero(at offset: Int, count: Int) -> Bool {
    precondition(
      offset >= 0 && offset % 8 == 0 && count >= 0 && count % 8 == 0 && offset <= byteCount - count,
      "access outside of the mapping")
    // SAFETY: the range was checked against the mapping, which lives as long as self.
    guard let base = unsafe UnsafeRawPointer(bitPattern: address + UInt(offset)) else { return false }
    var at = 0
    // Blocks of 64 bytes, which the compiler makes vectors of.
    while at <= count - 64 {
      var found: UInt64 = 0
      for word in 0..<8 { found |= unsafe base.load(fromByteOffset: at + word * 8, as: UInt64.self) }
      if found != 0 { return false }
      at += 64
    }
    while at < count {
      if unsafe base.load(fromByteOffset: at, as: UInt64.self) != 0 { return false }
      at += 8
    }
    return true
  }

  /// Copies `count` bytes to the end of a span that has room for them.
  public func read(at offset: Int, count: Int, into bytes: inout OutputSpan<UInt8>) {
    precondition(
      offset >= 0 && count >= 0 && offset <= byteCount - count && count <= bytes.freeCapacity,
      "access outside of the mapping or of the span")
    guard let source = unsafe UnsafeRawPointer(bitPattern: address + UInt(offset)) else { return }
    unsafe bytes.withUnsafeMutableBufferPointer { buffer, initialized in
      // SAFETY: the range was checked against the mapping, which lives as long as self; the span has room for it.
      guard let target = buffer.baseAddress else { return }
      unsafe UnsafeMutableRawPointer(target + initialized).copyMemory(from: source, byteCount: count)
      initialized += count
    }
  }

  /// Copies bytes in.
  public func write(_ bytes: Span<UInt8>, at offset: Int) {
    let count = bytes.count
    precondition(offset >= 0 && offset <= byteCount - count, "access outside of the mapping")
    guard let target = unsafe UnsafeMutableRawPointer(bitPattern: address + UInt(offset)) else { return }
    unsafe bytes.withUnsafeBytes { source in
      // SAFETY: as above.
      if let from = source.baseAddress { unsafe target.copyMemory(from: from, byteCount: count) }
    }
  }

  /// Makes every byte of a range zero.
  public func clear(at offset: Int, count: Int) {
    precondition(
      offset >= 0 && count >= 0 && offset <= byteCount - count, "access outside of the mapping")
    // SAFETY: as above.
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: address + UInt(offset)) else { return }
    unsafe memset(base, 0, count)
  }
}
