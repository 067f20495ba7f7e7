/// Which guest pages are shared with the host, as ranges of guest frame numbers (GFN, 4 KiB each). All others are
/// private: a guest starts with every page private and says which ones it shares.
///
/// The ranges ascend, are not empty and never touch, so that equal sets are equal values and have equal bytes.
public struct SharedRegions: Hashable, Sendable {
  /// A guest decides how it cuts its memory, so the list needs an end. As bytes it then fits into one frame of
  /// the migration's stream (1 MiB).
  public static let maximumCount = 65_535
  /// The first frame number that none has: guest-physical addresses have up to 52 bits.
  public static let frameLimit: UInt64 = 1 << 40

  /// Frame numbers; each range ends before its upper bound.
  public private(set) var ranges: [Range<UInt64>] = []

  /// All pages are private.
  public init() {}

  public var isEmpty: Bool { ranges.isEmpty }

  /// How many pages are shared.
  ///
  /// - Complexity: O(*n*) ranges.
  public var pageCount: UInt64 { ranges.reduce(0) { $0 + ($1.upperBound - $1.lowerBound) } }

  /// Whether a page is shared.
  ///
  /// - Complexity: O(log *n*) ranges.
  public func contains(_ frame: UInt64) -> Bool {
    let index = firstIndex(endingBehind: frame)
    return index < ranges.count && ranges[index].contains(frame)
  }

  // MARK: Changes

  /// Pages are shared from now on.
  ///
  /// - Throws: ``SharedRegionsError/beyondAddresses(end:)`` and ``SharedRegionsError/tooManyRanges``; nothing has
  ///   changed then.
  /// - Complexity: O(*n*) ranges.
  public mutating func markShared(_ frames: Range<UInt64>) throws(SharedRegionsError) {
    guard !frames.isEmpty else { return }
    try Self.check(frames)
    // Every range that overlaps or touches becomes one.
    let first = firstIndex(endingAtOrBehind: frames.lowerBound)
    var last = first
    var merged = frames
    while last < ranges.count, ranges[last].lowerBound <= frames.upperBound {
      merged =
        min(merged.lowerBound, ranges[last].lowerBound)..<max(merged.upperBound, ranges[last].upperBound)
      last += 1
    }
    guard ranges.count - (last - first) + 1 <= Self.maximumCount else { throw .tooManyRanges }
    ranges.replaceSubrange(first..<last, with: CollectionOfOne(merged))
  }

  /// Pages are private from now on.
  ///
  /// - Throws: As ``markShared(_:)``: a range that is cut in the middle becomes two.
  /// - Complexity: O(*n*) ranges.
  public mutating func markPrivate(_ frames: Range<UInt64>) throws(SharedRegionsError) {
    guard !frames.isEmpty else { return }
    try Self.check(frames)
    let first = firstIndex(endingBehind: frames.lowerBound)
    var last = first
    var kept: [Range<UInt64>] = []
    while last < ranges.count, ranges[last].lowerBound < frames.upperBound {
      let range = ranges[last]
      if range.lowerBound < frames.lowerBound { kept.append(range.lowerBound..<frames.lowerBound) }
      if frames.upperBound < range.upperBound { kept.append(frames.upperBound..<range.upperBound) }
      last += 1
    }
    guard ranges.count - (last - first) + kept.count <= Self.maximumCount else { throw .tooManyRanges }
    ranges.replaceSubrange(first..<last, with: kept)
  }

  /// All pages are private again: the guest was reset.
  public mutating func reset() { ranges.removeAll() }

  private static func check(_ frames: Range<UInt64>) throws(SharedRegionsError) {
    guard frames.upperBound <= frameLimit else { throw .beyondAddresses(end: frames.upperBound) }
  }

  // MARK: Iteration

  /// Pages that follow each other and are alike.
  public struct Run: Hashable, Sendable {
    public let frames: Range<UInt64>
    public let isShared: Bool

    public init(frames: Range<UInt64>, isShared: Bool) {
      self.frames = frames
      self.isShared = isShared
    }
  }

  /// Cuts a range of frames into runs, in ascending order and without a gap.
  public struct Runs: Sequence, IteratorProtocol, Sendable {
    private let regions: SharedRegions
    private var rest: Range<UInt64>

    init(_ regions: SharedRegions, _ frames: Range<UInt64>) {
      self.regions = regions
      rest = frames
    }

    public mutating func next() -> Run? {
      guard !rest.isEmpty else { return nil }
      let (isShared, end) = regions.run(at: rest.lowerBound)
      let frames = rest.lowerBound..<Swift.min(end, rest.upperBound)
      rest = frames.upperBound..<rest.upperBound
      return Run(frames: frames, isShared: isShared)
    }
  }

  /// What a page is, and up to which frame (exclusive) all the following ones are the same.
  ///
  /// - Complexity: O(log *n*) ranges.
  public func run(at frame: UInt64) -> (isShared: Bool, end: UInt64) {
    let index = firstIndex(endingBehind: frame)
    guard index < ranges.count else { return (false, .max) }
    let range = ranges[index]
    return range.contains(frame) ? (true, range.upperBound) : (false, range.lowerBound)
  }

  /// The runs of a part of the guest's memory.
  public func runs(in frames: Range<UInt64>) -> Runs { Runs(self, frames) }

  // MARK: Bytes

  /// The list as it is saved and sent: the number of ranges, then the first frame and the one behind the last of
  /// each; 64 bits each, little-endian.
  public func encoded() -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 + 16 * ranges.count)
    bytes.appendWord(UInt64(ranges.count))
    for range in ranges {
      bytes.appendWord(range.lowerBound)
      bytes.appendWord(range.upperBound)
    }
    return bytes
  }

  /// Reads what ``encoded()`` wrote, and nothing else: ranges must ascend and not touch.
  public init(decoding bytes: [UInt8]) throws(SharedRegionsError) {
    var reader = WordReader(bytes)
    let count = try reader.word()
    guard count <= UInt64(Self.maximumCount) else { throw .tooManyRanges }
    guard bytes.count == 8 + 16 * Int(count) else {
      throw .wrongLength(bytes.count, expected: 8 + 16 * Int(count))
    }
    ranges.reserveCapacity(Int(count))
    for index in 0..<Int(count) {
      let (first, end) = (try reader.word(), try reader.word())
      guard first < end else { throw .emptyRange(index: index) }
      if let previous = ranges.last, previous.upperBound >= first { throw .unordered(index: index) }
      try Self.check(first..<end)
      ranges.append(first..<end)
    }
  }

  // MARK: Search

  /// The first range whose end is behind `frame`; the number of ranges if there is none.
  private func firstIndex(endingBehind frame: UInt64) -> Int {
    firstIndex { $0.upperBound > frame }
  }

  private func firstIndex(endingAtOrBehind frame: UInt64) -> Int {
    firstIndex { $0.upperBound >= frame }
  }

  private func firstIndex(where isBehind: (Range<UInt64>) -> Bool) -> Int {
    var (low, high) = (0, ranges.count)
    while low < high {
      let middle = low + (high - low) / 2
      if isBehind(ranges[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
