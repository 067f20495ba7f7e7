/// What a migration has measured of its path.
///
/// Pages count when the target has acknowledged them. A path needs time to come to its pace (connections begin slowly,
/// memory is touched for the first time). So where the last third of the time was clearly quicker than all of it, rates
/// are those of the last third; what was lost before is told apart.
public struct PaceMeters: Sendable {
  /// When the frame was made whose answer is waited for.
  public var asked: UInt64 = 0

  /// The shortest time in which anything came back. An answer may have waited for much, but never came too early.
  public private(set) var roundTripNanoseconds: UInt64 = 0

  public init() {}

  /// Pages that the own device encrypted, and the time it took.
  public var device = RateMeter()
  /// Pages that were found to be zeros, and the time it took.
  public var zeros = RateMeter()
  private var zeroNanoseconds: UInt64 = 0

  /// What a batch brought the sum to, and when it was made.
  private struct Entry {
    let sequence: UInt64
    let sum: PageCounts
    let made: UInt64
    let isEcho: Bool
  }

  /// Where everything stood at an acknowledgement.
  private struct Mark {
    let time: UInt64
    let pages: PageCounts
    let targetNanoseconds: UInt64
    let zeroNanoseconds: UInt64
  }

  /// Batches that the target has not acknowledged yet.
  private var ledger: [Entry] = []
  private var sum = PageCounts()
  /// What the target's device had worked at the last acknowledgement.
  private var targetNanoseconds: UInt64 = 0
  /// From the first batch on, which has nothing acknowledged.
  private var marks: [Mark] = []
  private static let mostMarks = 1024

  /// What the target has put into its RAM.
  public var acknowledgedPages: PageCounts { marks.last?.pages ?? PageCounts() }

  /// The frame that was asked with last is answered.
  public mutating func answered(now: UInt64) { noteRoundTrip(now - min(now, asked)) }

  private mutating func noteRoundTrip(_ nanoseconds: UInt64) {
    roundTripNanoseconds =
      roundTripNanoseconds == 0 ? nanoseconds : min(roundTripNanoseconds, nanoseconds)
  }

  /// A batch was made.
  ///
  /// - Parameters:
  ///   - began: When its making began, in nanoseconds.
  ///   - made: When it was ready to go.
  ///   - isEcho: Whether it goes alone, to measure the way: it says nothing of the pace.
  public mutating func sent(
    _ pages: PageCounts, sequence: UInt64, began: UInt64, made: UInt64, isEcho: Bool = false
  ) {
    if marks.isEmpty {
      marks.append(Mark(time: began, pages: sum, targetNanoseconds: 0, zeroNanoseconds: zeroNanoseconds))
    }
    sum = sum + pages
    ledger.append(Entry(sequence: sequence, sum: sum, made: made, isEcho: isEcho))
  }

  /// A batch of nothing but zeros took so long.
  public mutating func foundZeros(_ pages: UInt64, nanoseconds: UInt64) {
    zeros.add(pages, nanoseconds: nanoseconds)
    zeroNanoseconds += nanoseconds
  }

  /// The target says how far it is.
  public mutating func acknowledged(_ acknowledgement: Acknowledgement, now: UInt64) {
    guard let before = marks.last else { return }
    var pages = before.pages
    var count = 0
    var isEcho = false
    while let oldest = ledger.first, oldest.sequence <= acknowledgement.sequence {
      pages = oldest.sum
      isEcho = oldest.isEcho
      count += 1
      if oldest.sequence == acknowledgement.sequence, count == 1, now > oldest.made {
        let device =
          acknowledgement.deviceNanoseconds - min(acknowledgement.deviceNanoseconds, targetNanoseconds)
        noteRoundTrip(now - oldest.made - min(now - oldest.made, device))
      }
      ledger.removeFirst()
    }
    targetNanoseconds = acknowledgement.deviceNanoseconds
    guard !isEcho else { return }
    marks.append(
      Mark(
        time: now, pages: pages, targetNanoseconds: acknowledgement.deviceNanoseconds,
        zeroNanoseconds: zeroNanoseconds))
    guard marks.count > Self.mostMarks else { return }
    marks = marks.indices.filter { $0 % 2 == 0 || $0 == marks.count - 1 }.map { marks[$0] }
  }

  // MARK: Rates

  /// Encrypted pages a second that come through; before that is known what the slower device does.
  public var encryptedPagesPerSecond: Double? {
    if let whole = pagesPerSecond({ $0.encrypted }) { return whole }
    guard let own = device.perSecond, let target = targetDevicePagesPerSecond else { return device.perSecond }
    return min(own, target)
  }

  /// Plain pages a second that come through; zeros that are found between them do not count.
  public var plainPagesPerSecond: Double? { pagesPerSecond { $0.plain } }

  /// What the target's device does by itself.
  public var targetDevicePagesPerSecond: Double? {
    perSecond({ $0.encrypted }) { first, last in last.targetNanoseconds - first.targetNanoseconds }
  }

  /// By how much longer the acknowledged pages took than so many take at the pace that the path came to.
  public func startSeconds(_ rates: TransferRates) -> Double {
    guard let first = marks.first, let last = marks.last, marks.count > 1 else { return 0 }
    let took = Double(last.time - first.time) / 1e9
    return max(0, took - rates.seconds(for: last.pages))
  }

  private func pagesPerSecond(_ kind: (PageCounts) -> UInt64) -> Double? {
    perSecond(kind) { first, last in
      // Looking for zeros is work of its own.
      let time = last.time - first.time
      return time - min(time, last.zeroNanoseconds - first.zeroNanoseconds)
    }
  }

  /// Pages of a kind a second: since the first acknowledgement, before which the path filled, or in the last third of
  /// the time if that had clearly more.
  private func perSecond(
    _ kind: (PageCounts) -> UInt64, in time: (_ first: Mark, _ last: Mark) -> UInt64
  ) -> Double? {
    guard let first = marks.first, let last = marks.last else { return nil }
    func rate(since mark: Mark) -> Double? {
      let pages = kind(last.pages) - kind(mark.pages)
      let time = time(mark, last)
      return pages >= Self.enoughPages && time > 0 ? Double(pages) / (Double(time) / 1e9) : nil
    }
    guard let whole = rate(since: marks.count > 2 ? marks[1] : first) ?? rate(since: first) else {
      return nil
    }
    let begin = last.time - (last.time - first.time) / 3
    let third = marks.last { $0.time <= begin }.flatMap { rate(since: $0) }
    // By a little it has more or less by chance.
    return third.map { $0 > whole * 1.15 ? $0 : whole } ?? whole
  }

  /// Fewer pages say nothing about many.
  private static let enoughPages: UInt64 = 64
}
