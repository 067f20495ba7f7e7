/// Guest pages, by their frame number, that somebody wrote since they were last looked at: one bit for each page
/// of a VM's memory.
public struct KVMDirtyPages: Hashable, Sendable {
  private struct Slot: Hashable, Sendable {
    /// Frame numbers, with a bit each.
    let frames: Range<UInt64>
    var words: [UInt64]
  }

  public static let pageByteCount: UInt64 = 4096

  private var slots: [Slot]
  /// How many pages are dirty.
  public private(set) var count = 0

  /// No page is dirty.
  public init(_ memory: [KVMVirtualMachine.MemorySlot]) {
    slots = memory.map { range in
      let first = range.guestAddress / Self.pageByteCount
      let pages = range.byteCount / Self.pageByteCount
      return Slot(
        frames: first..<(first + pages), words: [UInt64](repeating: 0, count: Int((pages + 63) / 64)))
    }
  }

  public var isEmpty: Bool { count == 0 }
  /// How many pages there are at all.
  public var capacity: Int { slots.reduce(0) { $0 + $1.frames.count } }

  public mutating func removeAll() {
    for slot in slots.indices {
      for word in slots[slot].words.indices { slots[slot].words[word] = 0 }
    }
    count = 0
  }

  /// Every page is dirty, as before the first round.
  public mutating func insertAll() {
    for slot in slots.indices {
      let pages = slots[slot].frames.count
      for word in slots[slot].words.indices {
        let rest = pages - 64 * word
        slots[slot].words[word] = rest >= 64 ? .max : (1 << UInt64(rest)) - 1
      }
    }
    count = capacity
  }

  public func contains(_ frame: UInt64) -> Bool {
    guard let (slot, bit) = place(of: frame) else { return false }
    return slots[slot].words[bit / 64] & 1 << UInt64(bit % 64) != 0
  }

  /// - Returns: Whether the page was not dirty before. A frame outside of the memory never is.
  @discardableResult
  public mutating func insert(_ frame: UInt64) -> Bool {
    guard let (slot, bit) = place(of: frame), !contains(frame) else { return false }
    slots[slot].words[bit / 64] |= 1 << UInt64(bit % 64)
    count += 1
    return true
  }

  /// - Returns: Whether the page was dirty.
  @discardableResult
  public mutating func remove(_ frame: UInt64) -> Bool {
    guard let (slot, bit) = place(of: frame), contains(frame) else { return false }
    slots[slot].words[bit / 64] &= ~(1 << UInt64(bit % 64))
    count -= 1
    return true
  }

  /// The first dirty page at `frame` or behind it, in the order of the slots.
  ///
  /// - Complexity: One step for 64 clean pages.
  public func next(from frame: UInt64 = 0) -> UInt64? {
    for slot in slots where frame < slot.frames.upperBound {
      var bit = frame > slot.frames.lowerBound ? Int(frame - slot.frames.lowerBound) : 0
      while bit < slot.frames.count {
        let word = slot.words[bit / 64] >> UInt64(bit % 64)
        if word != 0 { return slot.frames.lowerBound + UInt64(bit + word.trailingZeroBitCount) }
        bit = (bit / 64 + 1) * 64
      }
    }
    return nil
  }

  /// Takes the first dirty page out.
  public mutating func popFirst() -> UInt64? {
    guard let frame = next() else { return nil }
    remove(frame)
    return frame
  }

  /// Calls `body` with each run of dirty pages that follow each other.
  public func forEachRun(_ body: (Range<UInt64>) -> Void) {
    var frame = next()
    while let first = frame {
      var end = first + 1
      while contains(end) { end += 1 }
      body(first..<end)
      frame = next(from: end)
    }
  }

  /// Adds the pages whose bits are set in a slot's bitmap, as `KVM_GET_DIRTY_LOG` writes it.
  package mutating func add(_ bitmap: [UInt64], toSlot slot: Int) {
    let pages = slots[slot].frames.count
    for (word, bits) in bitmap.enumerated() where bits != 0 {
      // Bits behind the last page say nothing.
      let rest = pages - 64 * word
      let known = rest >= 64 ? bits : bits & ((1 << UInt64(max(0, rest))) - 1)
      count += (known & ~slots[slot].words[word]).nonzeroBitCount
      slots[slot].words[word] |= known
    }
  }

  private func place(of frame: UInt64) -> (slot: Int, bit: Int)? {
    for (index, slot) in slots.enumerated() where slot.frames.contains(frame) {
      return (index, Int(frame - slot.frames.lowerBound))
    }
    return nil
  }
}
