/// Whole-page accesses of the reference guest's software vCPUs.
///
/// They write and check pages all the time, so these run over words without a check for each one.
extension SharedMapping {
  /// Writes `count` 64-bit words from `offset` on: `first`, `first + step`, `first + 2 step`…
  ///
  /// - Parameter offset: In bytes, a multiple of 8.
  /// - Complexity: O(count).
  public func fillWords(at offset: Int, count: Int, first: UInt64, step: UInt64) {
    precondition(
      offset >= 0 && offset % 8 == 0 && count >= 0 && offset <= byteCount - count * 8,
      "access outside of the mapping")
    // SAFETY: the range was checked against the mapping, which lives as long as self.
    guard let base = unsafe UnsafeMutableRawPointer(bitPattern: address) else { return }
    var value = first
    for index in 0..<count {
      unsafe base.storeBytes(of: value, toByteOffset: offset + index * 8, as: UInt64.self)
      value &+= step
    }
  }

  /// Whether the words are exactly what ``fillWords(at:count:first:step:)`` wrote.
  ///
  /// - Parameter offset: In bytes, a multiple of 8.
  /// - Complexity: O(count); always reads all words.
  public func wordsMatch(at offset: Int, count: Int, first: UInt64, step: UInt64) -> Bool {
    precondition(
      offset >= 0 && offset % 8 == 0 && count >= 0 && offset <= byteCount - count * 8,
      "access outside of the mapping")
    // SAFETY: the range was checked against the mapping, which lives as long as self.
    guard let base = unsafe UnsafeRawPointer(bitPattern: address) else { return false }
    var value = first
    var difference: UInt64 = 0
    for index in 0..<count {
      difference |= unsafe base.load(fromByteOffset: offset + index * 8, as: UInt64.self) ^ value
      value &+= step
    }
    return difference == 0
  }
}
