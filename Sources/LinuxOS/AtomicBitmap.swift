import Synchronization

/// Bits that threads set while another one takes them.
///
/// A thread that changes something and then sets its bit is seen by whoever takes the bit: either with the change,
/// or in a later taking once more.
@safe public final class AtomicBitmap: @unchecked Sendable {
  // SAFETY: the words live at a fixed address from init to deinit and are only accessed atomically.
  private let words: UnsafeMutablePointer<Atomic<UInt64>>
  private let wordCount: Int
  /// How many bits there are.
  public let count: Int

  /// Makes a bitmap of zeros.
  public init(count: Int) {
    precondition(count > 0)
    self.count = count
    wordCount = (count + 63) / 64
    unsafe words = .allocate(capacity: wordCount)
    for index in 0..<wordCount { unsafe (words + index).initialize(to: Atomic(0)) }
  }

  deinit {
    unsafe words.deinitialize(count: wordCount)
    unsafe words.deallocate()
  }

  /// Sets a bit.
  @inline(__always)
  public func set(_ index: Int) {
    precondition(index >= 0 && index < count, "no such bit")
    let mask: UInt64 = 1 << UInt64(index & 63)
    // Never only a look whether it is set: what was written before it could still be on its way to memory.
    unsafe (words + (index >> 6)).pointee.bitwiseOr(mask, ordering: .sequentiallyConsistent)
  }

  /// Adds the bits to those of `bits`, 64 a word and the lowest one first, and makes them zero here.
  public func take(into bits: inout [UInt64]) {
    precondition(bits.count >= wordCount, "no room for the bits")
    for index in 0..<wordCount {
      let word = unsafe words + index
      if unsafe word.pointee.load(ordering: .relaxed) != 0 {
        bits[index] |= unsafe word.pointee.exchange(0, ordering: .sequentiallyConsistent)
      }
    }
  }

  /// Makes all bits zero.
  public func clear() {
    for index in 0..<wordCount { unsafe (words + index).pointee.store(0, ordering: .sequentiallyConsistent) }
  }
}
