/// The guest pages that are not encrypted, as ranges of frame numbers: what a hypervisor must know to migrate a
/// guest, learnt from the guest's page-status hypercalls.
public struct SharedPageRanges: Hashable, Sendable {
  /// In ascending order as far as they come from hypercalls; entries that were set stay as they were given.
  public private(set) var ranges: [Range<UInt64>] = []

  public init() {}

  /// The guest says that pages are encrypted from now on, or not any more.
  ///
  /// Complexity: linear in the number of ranges.
  public mutating func update(_ pages: Range<UInt64>, isEncrypted: Bool) {
    guard !pages.isEmpty else { return }
    var kept: [Range<UInt64>] = []
    var merged = pages
    for range in ranges {
      if range.upperBound < pages.lowerBound || pages.upperBound < range.lowerBound {
        kept.append(range)
      } else if isEncrypted {
        if range.lowerBound < pages.lowerBound { kept.append(range.lowerBound..<pages.lowerBound) }
        if pages.upperBound < range.upperBound { kept.append(pages.upperBound..<range.upperBound) }
      } else {
        merged = min(merged.lowerBound, range.lowerBound)..<max(merged.upperBound, range.upperBound)
      }
    }
    if !isEncrypted { kept.append(merged) }
    ranges = kept.sorted { $0.lowerBound < $1.lowerBound }
  }

  /// Adds entries behind those that are there.
  public mutating func append(contentsOf entries: [Range<UInt64>]) {
    ranges.append(contentsOf: entries)
  }

  /// Whether a page is shared.
  public func contains(_ page: UInt64) -> Bool {
    ranges.contains { $0.contains(page) }
  }
}
