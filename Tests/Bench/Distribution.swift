import Histogram

/// Durations of many events, in an HDR histogram with three significant digits.
struct Distribution {
  private var histogram = Histogram<UInt64>(numberOfSignificantValueDigits: .three)
  private var smallest = UInt64.max
  private var largest: UInt64 = 0

  mutating func record(nanoseconds: UInt64) {
    histogram.record(nanoseconds)
    smallest = min(smallest, nanoseconds)
    largest = max(largest, nanoseconds)
  }

  var count: Int { Int(histogram.totalCount) }

  /// The figures, or nil when there is nothing.
  var figures: Figures? {
    guard histogram.totalCount > 0 else { return nil }
    return Figures(
      count: count, minimumNanoseconds: smallest,
      p50Nanoseconds: min(histogram.valueAtPercentile(50), largest),
      p99Nanoseconds: min(histogram.valueAtPercentile(99), largest), maximumNanoseconds: largest)
  }
}

/// What is told of a distribution.
struct Figures: Codable, Hashable {
  let count: Int
  let minimumNanoseconds: UInt64
  let p50Nanoseconds: UInt64
  let p99Nanoseconds: UInt64
  let maximumNanoseconds: UInt64
}
