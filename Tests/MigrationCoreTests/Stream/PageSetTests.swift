import BatonWire
import Testing

@testable import MigrationCore

@Suite("The pages of a guest's RAM") struct PageSetTests {
  private static let regions = [
    RAMRegion(guestPhysicalAddress: 0x1_0000_0000, byteCount: 8 * 4_096, file: 0, fileOffset: 0),
    RAMRegion(guestPhysicalAddress: 0, byteCount: 16 * 4_096, file: 0, fileOffset: 8 * 4_096),
    RAMRegion(
      guestPhysicalAddress: 0xFFFF_FFFF_FFFF_0000, byteCount: 15 * 4_096, file: 1, fileOffset: 0),
  ]

  @Test("are numbered without the holes between regions, up to the last address") func numbers() {
    let index = PageIndex(Self.regions)
    #expect(index.pageCount == 39)
    let frames =
      Array(UInt64(0)..<16) + Array(0x100000..<0x100008) + Array(0xF_FFFF_FFFF_FFF0..<0xF_FFFF_FFFF_FFFF)
    for (number, frame) in frames.enumerated() {
      #expect(index.number(ofFrame: frame) == number)
      #expect(index.frame(ofNumber: number) == frame)
    }
    for frame in [16, 0xFFFFF, 0x100008, 0xF_FFFF_FFFF_FFEF, 0xF_FFFF_FFFF_FFFF, .max] as [UInt64] {
      #expect(index.number(ofFrame: frame) == nil)
    }
    #expect(PageIndex([]).number(ofFrame: 0) == nil)
  }

  @Test("are in a set once, over chunk borders, until all are taken out") func set() {
    let count: UInt64 = 600_000
    var set = PageSet(pageCount: count)
    #expect(set.firstMissing == 0)
    for number in [0, 1, 63, 64, 262_143, 262_144, 599_999] {
      let answers = (set.insert(number), set.insert(number))
      #expect(answers.0 && !answers.1)
    }
    #expect(set.count == 7 && set.firstMissing == 2)
    for number in 0..<Int(count) { _ = set.insert(number) }
    #expect(set.count == 600_000 && set.firstMissing == nil)
    set.removeAll()
    #expect(set.count == 0 && set.firstMissing == 0)
    let isIn = set.insert(5)
    #expect(isIn)
    #expect(PageSet(pageCount: 0).firstMissing == nil)
  }
}
