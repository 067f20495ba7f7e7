import MigrationCore

/// What a migration has measured of its path.
struct PaceMeters {
  /// When the preamble was sent, and how long its answer took.
  var greeted: UInt64 = 0
  var roundTripNanoseconds: UInt64 = 0
  /// Pages that the own device encrypted, and the time it took.
  var device = RateMeter()
  /// Pages that were found to be zeros, and the time it took.
  var zeros = RateMeter()
  private var zeroNanoseconds: UInt64 = 0
  /// Sums of what the batches carried that the target has not acknowledged yet.
  private var ledger: [(sequence: UInt64, sum: PageCounts)] = []
  private var sum = PageCounts()
  private(set) var acknowledgedPages = PageCounts()
  private var first: (time: UInt64, pages: PageCounts)?
  private var last: (time: UInt64, pages: PageCounts)?
  private var targetNanoseconds: UInt64 = 0
  private var firstTargetNanoseconds: UInt64 = 0
  private var isCold = true
  private static let coldPages: UInt64 = 64

  mutating func sent(_ pages: PageCounts, sequence: UInt64) {
    sum = sum + pages
    ledger.append((sequence, sum))
  }

  mutating func foundZeros(_ pages: UInt64, nanoseconds: UInt64) {
    zeros.add(pages, nanoseconds: nanoseconds)
    if first != nil { zeroNanoseconds += nanoseconds }
  }

  mutating func acknowledged(_ acknowledgement: Acknowledgement, now: UInt64) {
    targetNanoseconds = acknowledgement.deviceNanoseconds
    while let oldest = ledger.first, oldest.sequence <= acknowledgement.sequence {
      acknowledgedPages = oldest.sum
      ledger.removeFirst()
    }
    // What came first met cold paths, and says little about the rest.
    if first == nil || isCold {
      isCold = acknowledgedPages.encrypted < Self.coldPages && acknowledgedPages.encrypted > 0
      first = (now, acknowledgedPages)
      firstTargetNanoseconds = targetNanoseconds
    }
    last = (now, acknowledgedPages)
  }

  /// The slower of the two devices.
  var encryptedPagesPerSecond: Double? {
    var rate = device.perSecond
    if let first, acknowledgedPages.encrypted >= first.pages.encrypted + 16,
      targetNanoseconds > firstTargetNanoseconds
    {
      let time = Double(targetNanoseconds - firstTargetNanoseconds) / 1e9
      let target = Double(acknowledgedPages.encrypted - first.pages.encrypted) / time
      rate = min(rate ?? target, target)
    }
    // Both work at the same time, but what comes of it in the end may be less than either could do.
    if let whole = pagesPerSecond({ $0.encrypted }) { rate = min(rate ?? whole, whole) }
    return rate
  }

  var plainPagesPerSecond: Double? { pagesPerSecond { $0.plain } }

  private func pagesPerSecond(_ kind: (PageCounts) -> UInt64) -> Double? {
    guard let first, let last, last.time > first.time + 1_000_000, kind(last.pages) > kind(first.pages) + 16
    else { return nil }
    // Looking for zeros is work of its own.
    let time = max(1_000_000, last.time - first.time - min(last.time - first.time, zeroNanoseconds))
    return Double(kind(last.pages) - kind(first.pages)) / (Double(time) / 1e9)
  }
}
