/// Some of a guest's pages, a bit each; a GiB of which no page is in takes no memory.
struct PageSet: Sendable {
  private static let chunkWords = 4_096
  private static let chunkPages = chunkWords * 64
  private var chunks: [[UInt64]]
  private let pageCount: Int
  /// Pages in it.
  private(set) var count = 0

  init(pageCount: UInt64) {
    self.pageCount = Int(pageCount)
    chunks = Array(repeating: [], count: (self.pageCount + Self.chunkPages - 1) / Self.chunkPages)
  }

  /// Puts a page in; false when it was in.
  mutating func insert(_ number: Int) -> Bool {
    let chunk = number / Self.chunkPages
    let word = number % Self.chunkPages / 64
    let bit = UInt64(1) << UInt64(number % 64)
    if chunks[chunk].isEmpty { chunks[chunk] = Array(repeating: 0, count: Self.chunkWords) }
    guard chunks[chunk][word] & bit == 0 else { return false }
    chunks[chunk][word] |= bit
    count += 1
    return true
  }

  mutating func removeAll() {
    for index in chunks.indices { chunks[index] = [] }
    count = 0
  }

  /// The first page that is not in, or nil when all are.
  ///
  /// - Complexity: O(pages / 64).
  var firstMissing: Int? {
    for (index, chunk) in chunks.enumerated() {
      let base = index * Self.chunkPages
      guard !chunk.isEmpty else { return base }
      for (word, bits) in chunk.enumerated() where bits != .max {
        let number = base + word * 64 + bits.trailingOnes
        return number < pageCount ? number : nil
      }
    }
    return nil
  }
}

extension FixedWidthInteger {
  /// Ones from bit 0 on.
  fileprivate var trailingOnes: Int { (~self).trailingZeroBitCount }
}
