import BatonWire
import Histogram
import RegistryInterface

/// Counters and histograms since the registry started.
struct RegistryMetrics {
  var counters = Counters()
  /// Handoffs that began because the owner asked to be replaced.
  var handoffsParked: UInt64 = 0
  /// Guests that were registered.
  var guestsRegistered: UInt64 = 0
  /// Guests that ended with their VMM.
  var guestsEnded: UInt64 = 0
  /// Slots that came to be refused.
  var slotsBarred: UInt64 = 0
  /// Alarms that were raised.
  var alarmsRaised: UInt64 = 0
  var migrations = Migrations()
  /// Connections that were accepted.
  private(set) var vmmConnections: UInt64 = 0
  private(set) var operatorConnections: UInt64 = 0
  private var attempts: [Ending: UInt64] = [:]
  private var histograms: [String: Measured] = [:]

  /// Migrations to and from other hosts.
  struct Migrations {
    var started: UInt64 = 0
    var planned: UInt64 = 0
    var departed: UInt64 = 0
    var stayed: UInt64 = 0
    var arriving: UInt64 = 0
    var arrived: UInt64 = 0
    var failed: UInt64 = 0
  }

  /// How a handoff ended.
  private struct Ending: Hashable {
    let outcome: Outcome
    let refusal: String?
  }

  private struct Measured {
    /// Up to 1,000 s, three significant digits.
    var histogram = Histogram<UInt32>(
      highestTrackableValue: 1_000_000_000, numberOfSignificantValueDigits: .three)
    /// How many values are at most each bound and larger than the one before.
    var buckets = [UInt64](repeating: 0, count: bounds.count)
    var sum: UInt64 = 0
    var minimum = UInt64.max
    var maximum: UInt64 = 0

    mutating func record(_ value: UInt64) {
      _ = histogram.record(min(value, 1_000_000_000))
      if let bucket = bounds.firstIndex(where: { value <= $0 }) { buckets[bucket] += 1 }
      sum &+= value
      minimum = min(minimum, value)
      maximum = max(maximum, value)
    }

    var cumulative: [Bucket] {
      var count: UInt64 = 0
      return zip(bounds, buckets).map { bound, more in
        count += more
        return Bucket(upToMicroseconds: bound, count: count)
      }
    }
  }

  /// The sizes of every histogram's buckets, in microseconds: 1, 2 and 5 of each power of ten from 50 µs to 60 s.
  static let bounds: [UInt64] = [
    50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000,
    2_000_000, 5_000_000, 10_000_000, 20_000_000, 60_000_000,
  ]

  /// A VMM has connected.
  mutating func connected() {
    counters.vmmConnections += 1
    vmmConnections += 1
  }
  /// A VMM's connection ended.
  mutating func disconnected() { counters.vmmConnections -= 1 }
  /// An operator has connected.
  mutating func operatorConnected() {
    counters.operatorConnections += 1
    operatorConnections += 1
  }
  /// An operator's connection ended.
  mutating func operatorDisconnected() { counters.operatorConnections -= 1 }
  /// A record came from a VMM.
  mutating func received() { counters.recordsReceived += 1 }
  /// A record broke the protocol.
  mutating func refused() { counters.recordsRefused += 1 }

  mutating func count(_ refusal: BatonWire.Refusal) { counters.refusals[refusal.name, default: 0] += 1 }

  /// Takes up a handoff that ended; how long it took counts when it was committed.
  mutating func record(_ handoff: Handoff) {
    attempts[Ending(outcome: handoff.outcome, refusal: handoff.refusal?.name), default: 0] += 1
    if handoff.outcome == .ended { counters.handoffsEnded += 1 }
    guard handoff.outcome == .committed else { return }
    record("handoff", handoff.durationMicroseconds)
    if let blackout = handoff.blackoutMicroseconds { record("blackout", blackout) }
    for phase in handoff.phases {
      if let duration = phase.durationMicroseconds { record(phase.name.rawValue, duration) }
    }
  }

  private mutating func record(_ name: String, _ value: UInt64) {
    histograms[name, default: Measured()].record(value)
  }

  /// Every way in which handoffs ended, by outcome and then by reason.
  var attemptViews: [AttemptCount] {
    let order = Outcome.allCases
    func rank(_ ending: Ending) -> (Int, String) {
      (order.firstIndex(of: ending.outcome) ?? order.count, ending.refusal ?? "")
    }
    return attempts.sorted { rank($0.key) < rank($1.key) }
      .map { AttemptCount(outcome: $0.key.outcome, refusal: $0.key.refusal, count: $0.value) }
  }

  /// The histograms that have values: blackout, handoff, then the phases in their order.
  var views: [LatencyHistogram] {
    (["blackout", "handoff"] + PhaseName.allCases.map(\.rawValue)).compactMap { name in
      guard let measured = histograms[name] else { return nil }
      return LatencyHistogram(
        name: name, count: measured.histogram.totalCount, minimumMicroseconds: measured.minimum,
        p50Microseconds: measured.histogram.valueAtPercentile(50),
        p99Microseconds: measured.histogram.valueAtPercentile(99), maximumMicroseconds: measured.maximum,
        sumMicroseconds: measured.sum, buckets: measured.cumulative)
    }
  }
}
