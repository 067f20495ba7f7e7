import EncryptionStatus
import MigrationCore
import Testing

@Suite("The list of shared pages")
struct SharedRegionsTests {
  private func regions(_ ranges: Range<UInt64>...) throws -> SharedRegions {
    var regions = SharedRegions()
    for range in ranges { try regions.markShared(range) }
    return regions
  }

  @Test("is empty at first: every page is private")
  func empty() {
    let regions = SharedRegions()
    #expect(regions.isEmpty && regions.pageCount == 0)
    for frame: UInt64 in [0, 1, SharedRegions.frameLimit - 1, .max] { #expect(!regions.contains(frame)) }
    #expect(regions.encoded() == [UInt8](repeating: 0, count: 8))
  }

  @Test("joins ranges that overlap or touch, and keeps those apart that do not")
  func joins() throws {
    #expect(try regions(10..<20, 20..<30).ranges == [10..<30])
    #expect(try regions(20..<30, 10..<20).ranges == [10..<30])
    #expect(try regions(10..<20, 15..<40, 5..<12).ranges == [5..<40])
    #expect(try regions(10..<20, 21..<30).ranges == [10..<20, 21..<30])
    #expect(try regions(10..<20, 30..<40, 50..<60, 15..<55).ranges == [10..<60])
    #expect(try regions(10..<20, 30..<40, 12..<13).ranges == [10..<20, 30..<40])
    #expect(try regions(5..<5).ranges == [])
  }

  @Test("cuts out what becomes private again, also from the middle and over several ranges")
  func cuts() throws {
    var one = try regions(10..<20)
    try one.markPrivate(14..<16)
    #expect(one.ranges == [10..<14, 16..<20])
    try one.markPrivate(0..<11)
    #expect(one.ranges == [11..<14, 16..<20])
    try one.markPrivate(13..<17)
    #expect(one.ranges == [11..<13, 17..<20])
    try one.markPrivate(13..<17)
    #expect(one.ranges == [11..<13, 17..<20])
    try one.markPrivate(0..<SharedRegions.frameLimit)
    #expect(one.isEmpty)
    try one.markPrivate(7..<7)
    #expect(one.isEmpty)
  }

  @Test("is at every step what a set of single pages is", arguments: [1, 2, 3] as [UInt64])
  func likeASet(seed: UInt64) throws {
    var state = seed &* 0x9E37_79B9_7F4A_7C15
    func below(_ bound: UInt64) -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return (state >> 33) % bound
    }
    var regions = SharedRegions()
    var pages: Set<UInt64> = []
    for step in 0..<2000 {
      let first = below(200)
      let frames = first..<(first + below(12))
      if below(2) == 0 {
        try regions.markShared(frames)
        pages.formUnion(frames)
      } else {
        try regions.markPrivate(frames)
        pages.subtract(frames)
      }
      guard step % 20 == 0 else { continue }
      #expect(regions.pageCount == UInt64(pages.count))
      for frame in 0..<UInt64(220) { #expect(regions.contains(frame) == pages.contains(frame)) }
      for (range, next) in zip(regions.ranges, regions.ranges.dropFirst()) {
        #expect(range.upperBound < next.lowerBound)
      }
      #expect(try SharedRegions(decoding: regions.encoded()) == regions)
      let start = below(220)
      let window = start..<(start + below(60))
      var seen: [UInt64] = []
      for run in regions.runs(in: window) {
        #expect(!run.frames.isEmpty && run.isShared == pages.contains(run.frames.lowerBound))
        for frame in run.frames { #expect(pages.contains(frame) == run.isShared) }
        seen += run.frames
      }
      #expect(seen == Array(window))
    }
  }

  @Test("cuts memory into runs without a gap")
  func runs() throws {
    let regions = try regions(10..<20, 30..<40)
    #expect(
      Array(regions.runs(in: 0..<35)) == [
        .init(frames: 0..<10, isShared: false), .init(frames: 10..<20, isShared: true),
        .init(frames: 20..<30, isShared: false), .init(frames: 30..<35, isShared: true),
      ])
    #expect(Array(regions.runs(in: 12..<15)) == [.init(frames: 12..<15, isShared: true)])
    #expect(Array(regions.runs(in: 50..<60)) == [.init(frames: 50..<60, isShared: false)])
    #expect(Array(regions.runs(in: 5..<5)).isEmpty)
    #expect(regions.run(at: 15) == (true, 20))
    #expect(regions.run(at: 20) == (false, 30))
    #expect(regions.run(at: 40) == (false, .max))
  }

  @Test("keeps frame numbers of 64 bits, where older formats stopped at 16 TiB")
  func highFrames() throws {
    let high = SharedRegions.frameLimit - 2..<SharedRegions.frameLimit
    let regions = try regions(1..<2, (1 << 32)..<(1 << 32 + 5), high)
    #expect(try SharedRegions(decoding: regions.encoded()) == regions)
    #expect(regions.contains(1 << 32) && regions.contains(SharedRegions.frameLimit - 1))
    var changed = regions
    #expect(throws: SharedRegionsError.beyondAddresses(end: SharedRegions.frameLimit + 1)) {
      try changed.markShared(5..<SharedRegions.frameLimit + 1)
    }
    #expect(throws: SharedRegionsError.self) { try changed.markPrivate(5..<UInt64.max) }
    #expect(changed == regions)
  }

  @Test("has an end, and a range too many changes nothing")
  func limit() throws {
    var bytes: [UInt8] = []
    func append(_ word: UInt64) { for byte in 0..<8 { bytes.append(UInt8(word >> (8 * byte) & 0xFF)) } }
    let count = UInt64(SharedRegions.maximumCount)
    append(count)
    for index in 0..<count {
      append(4 * index)
      append(4 * index + 2)
    }
    let full = try SharedRegions(decoding: bytes)
    #expect(full.encoded() == bytes)
    #expect(bytes.count <= 1 << 20)
    var changed = full
    #expect(throws: SharedRegionsError.tooManyRanges) { try changed.markShared(4 * count..<4 * count + 1) }
    #expect(changed == full)
    // One that joins two, and one that takes one away, need no room.
    try changed.markShared(2..<4)
    #expect(changed.ranges.count == SharedRegions.maximumCount - 1)
    try changed.markPrivate(2..<4)
    try changed.markPrivate(0..<2)
    #expect(changed.ranges.count == SharedRegions.maximumCount - 1)
    var wide = full
    try wide.markPrivate(0..<8)
    try wide.markShared(0..<8)
    try wide.markShared(8..<12)
    try wide.markPrivate(1..<2)
    try wide.markPrivate(4..<5)
    try wide.markPrivate(7..<8)
    #expect(wide.ranges.count == SharedRegions.maximumCount)
    #expect(throws: SharedRegionsError.tooManyRanges) { try wide.markPrivate(10..<11) }
  }

  @Test("is read only in the form in which it is written")
  func malformed() throws {
    let good = try regions(10..<20, 30..<40).encoded()
    for count in 0..<good.count {
      #expect(throws: SharedRegionsError.self) { try SharedRegions(decoding: Array(good.prefix(count))) }
    }
    #expect(throws: SharedRegionsError.wrongLength(41, expected: 40)) {
      try SharedRegions(decoding: good + [0])
    }
    func changed(_ offset: Int, _ byte: UInt8) -> [UInt8] {
      var bytes = good
      bytes[offset] = byte
      return bytes
    }
    #expect(throws: SharedRegionsError.tooManyRanges) { try SharedRegions(decoding: changed(2, 1)) }
    #expect(throws: SharedRegionsError.emptyRange(index: 0)) { try SharedRegions(decoding: changed(16, 10)) }
    #expect(throws: SharedRegionsError.emptyRange(index: 1)) { try SharedRegions(decoding: changed(32, 30)) }
    for first: UInt8 in [5, 19, 20] {
      #expect(throws: SharedRegionsError.unordered(index: 1)) {
        try SharedRegions(decoding: changed(24, first))
      }
    }
    #expect(throws: SharedRegionsError.beyondAddresses(end: 40 | 1 << 40)) {
      try SharedRegions(decoding: changed(37, 1))
    }
  }
}
