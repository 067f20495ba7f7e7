/// A set of pages of guest RAM, by their place in RAM.
public struct PageBitmap: Hashable, Sendable {
  /// How many pages there are.
  public let pageCount: Int
  private var words: [UInt64]

  /// Makes an empty set.
  public init(pageCount: Int) {
    precondition(pageCount >= 0)
    self.pageCount = pageCount
    words = [UInt64](repeating: 0, count: (pageCount + 63) / 64)
  }

  /// How many pages are in the set.
  ///
  /// - Complexity: O(pages / 64).
  public var count: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

  public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

  public func contains(_ page: Int) -> Bool {
    page >= 0 && page < pageCount && words[page >> 6] & (1 << UInt64(page & 63)) != 0
  }

  public mutating func insert(_ page: Int) {
    precondition(page >= 0 && page < pageCount, "no such page")
    words[page >> 6] |= 1 << UInt64(page & 63)
  }

  public mutating func remove(_ page: Int) {
    precondition(page >= 0 && page < pageCount, "no such page")
    words[page >> 6] &= ~(1 << UInt64(page & 63))
  }

  public mutating func insertAll() {
    for index in words.indices { words[index] = .max }
    trim()
  }

  public mutating func removeAll() {
    for index in words.indices { words[index] = 0 }
  }

  /// The first page of the set from `start` on.
  public func first(from start: Int) -> Int? {
    var index = start >> 6
    guard start >= 0, index < words.count else { return nil }
    var word = words[index] & (.max << UInt64(start & 63))
    while word == 0 {
      index += 1
      guard index < words.count else { return nil }
      word = words[index]
    }
    return index << 6 + word.trailingZeroBitCount
  }

  public mutating func formUnion(_ other: PageBitmap) {
    precondition(other.pageCount == pageCount, "sets of different RAM")
    for index in words.indices { words[index] |= other.words[index] }
  }

  public mutating func formIntersection(_ other: PageBitmap) {
    precondition(other.pageCount == pageCount, "sets of different RAM")
    for index in words.indices { words[index] &= other.words[index] }
  }

  /// Lets somebody add bits: 64 pages a word, the lowest bit first. Bits beyond the last page are dropped.
  public mutating func formUnion(_ add: (inout [UInt64]) -> Void) {
    add(&words)
    trim()
  }

  private mutating func trim() {
    let rest = pageCount & 63
    if rest != 0, let last = words.indices.last { words[last] &= (1 << UInt64(rest)) - 1 }
  }
}
