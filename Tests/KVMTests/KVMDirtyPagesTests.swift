import KVM
import Testing

@Suite("A set of dirty pages")
struct KVMDirtyPagesTests {
  /// Memory with a hole, and a slot whose last word is not full.
  private let memory = [
    KVMVirtualMachine.MemorySlot(guestAddress: 0, byteCount: 100 << 12, hostAddress: 0),
    KVMVirtualMachine.MemorySlot(guestAddress: 1 << 32, byteCount: 130 << 12, hostAddress: 0),
  ]
  private let high: UInt64 = 1 << 20

  @Test("is empty at first, and has no page that is not memory")
  func empty() {
    var pages = KVMDirtyPages(memory)
    #expect(pages.isEmpty && pages.capacity == 230)
    #expect(pages.next() == nil)
    for frame in [100, high - 1, high + 130, .max] {
      #expect(pages.insert(frame) == false)
      #expect(!pages.contains(frame))
    }
    #expect(pages.isEmpty)
  }

  @Test("gives its pages once, in ascending order")
  func order() {
    var pages = KVMDirtyPages(memory)
    let frames: [UInt64] = [0, 1, 63, 64, 99, high, high + 64, high + 129]
    for frame in frames.reversed() { #expect(pages.insert(frame) == true) }
    for frame in frames { #expect(pages.insert(frame) == false) }
    #expect(pages.count == frames.count)
    #expect(pages.next(from: 2) == 63)
    #expect(pages.next(from: 65) == 99)
    #expect(pages.next(from: 100) == high)
    #expect(pages.next(from: high + 130) == nil)
    var taken: [UInt64] = []
    while let frame = pages.popFirst() { taken.append(frame) }
    #expect(taken == frames)
    #expect(pages.isEmpty)
  }

  @Test("gives runs of pages that follow each other")
  func runs() {
    var pages = KVMDirtyPages(memory)
    for frame in [3, 4, 5, 62, 63, 64, 99, high, high + 1] { pages.insert(frame) }
    pages.remove(4)
    var runs: [Range<UInt64>] = []
    pages.forEachRun { runs.append($0) }
    #expect(runs == [3..<4, 5..<6, 62..<65, 99..<100, high..<high + 2])
    #expect(pages.remove(4) == false)
  }

  @Test("may be everything, and nothing again")
  func all() {
    var pages = KVMDirtyPages(memory)
    pages.insertAll()
    #expect(pages.count == 230)
    var runs: [Range<UInt64>] = []
    pages.forEachRun { runs.append($0) }
    #expect(runs == [0..<100, high..<high + 130])
    pages.removeAll()
    #expect(pages.isEmpty && pages == KVMDirtyPages(memory))
  }

  @Test("takes a slot's bitmap, and nothing from behind its last page")
  func bitmaps() {
    var pages = KVMDirtyPages(memory)
    pages.insert(1)
    pages.add([0b1011, .max], toSlot: 0)
    #expect(pages.count == 3 + 36)
    #expect(pages.contains(99) && !pages.contains(100))
    pages.add([0, 0, .max], toSlot: 1)
    #expect(pages.count == 39 + 2)
    #expect(pages.contains(high + 128) && pages.contains(high + 129))
    pages.add([0b1011, 0], toSlot: 0)
    #expect(pages.count == 41)
  }
}
