import BatonWire

/// The pages of a guest's RAM, numbered without the holes between its regions.
struct PageIndex: Sendable {
  private let starts: [UInt64]
  private let counts: [UInt64]
  private let bases: [UInt64]
  /// All pages.
  let pageCount: UInt64

  /// - Parameter regions: Of a valid manifest, so aligned and without overlap.
  init(_ regions: [RAMRegion]) {
    let sorted = regions.sorted { $0.guestPhysicalAddress < $1.guestPhysicalAddress }
    let page = UInt64(PageKind.pageByteCount)
    starts = sorted.map { $0.guestPhysicalAddress / page }
    counts = sorted.map { $0.byteCount / page }
    var bases: [UInt64] = []
    var total: UInt64 = 0
    for count in counts {
      bases.append(total)
      total += count
    }
    self.bases = bases
    pageCount = total
  }

  /// The number of the page with a guest's frame number, or nil when it is not RAM.
  ///
  /// - Complexity: O(log regions).
  func number(ofFrame frame: UInt64) -> Int? {
    var low = 0
    var high = starts.count
    while low < high {
      let middle = (low + high) / 2
      if starts[middle] <= frame { low = middle + 1 } else { high = middle }
    }
    guard low > 0, frame - starts[low - 1] < counts[low - 1] else { return nil }
    return Int(bases[low - 1] + (frame - starts[low - 1]))
  }

  /// The guest's frame number of a page, which must be one.
  func frame(ofNumber number: Int) -> UInt64 {
    for index in starts.indices.reversed() where bases[index] <= UInt64(number) {
      return starts[index] + (UInt64(number) - bases[index])
    }
    preconditionFailure("the page is not in the guest's RAM")
  }
}
