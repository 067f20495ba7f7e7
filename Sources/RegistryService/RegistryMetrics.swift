import BatonWire
import Histogram
import RegistryInterface

/// Counters and histograms since the registry started.
struct RegistryMetrics {
  var counters = Counters()
  private var histograms: [String: Measured] = [:]

  private struct Measured {
    /// Up to 1,000 s, three significant digits.
    var histogram = Histogram<UInt32>(
      highestTrackableValue: 1_000_000_000, numberOfSignificantValueDigits: .three)
    var sum: UInt64 = 0
    var minimum = UInt64.max
    var maximum: UInt64 = 0

    mutating func record(_ value: UInt64) {
      _ = histogram.record(min(value, 1_000_000_000))
      sum &+= value
      minimum = min(minimum, value)
      maximum = max(maximum, value)
    }
  }

  /// A VMM has connected.
  mutating func connected() { counters.vmmConnections += 1 }
  /// A VMM's connection ended.
  mutating func disconnected() { counters.vmmConnections -= 1 }
  /// A record came from a VMM.
  mutating func received() { counters.recordsReceived += 1 }
  /// A record broke the protocol.
  mutating func refused() { counters.recordsRefused += 1 }

  mutating func count(_ refusal: BatonWire.Refusal) { counters.refusals[refusal.name, default: 0] += 1 }

  /// Takes up a committed handoff.
  mutating func record(_ handoff: Handoff) {
    record("handoff", handoff.durationMicroseconds)
    if let blackout = handoff.blackoutMicroseconds { record("blackout", blackout) }
    for phase in handoff.phases {
      if let duration = phase.durationMicroseconds { record(phase.name.rawValue, duration) }
    }
  }

  private mutating func record(_ name: String, _ value: UInt64) {
    histograms[name, default: Measured()].record(value)
  }

  /// The histograms that have values: blackout, handoff, then the phases in their order.
  var views: [LatencyHistogram] {
    (["blackout", "handoff"] + PhaseName.allCases.map(\.rawValue)).compactMap { name in
      guard let measured = histograms[name] else { return nil }
      return LatencyHistogram(
        name: name, count: measured.histogram.totalCount, minimumMicroseconds: measured.minimum,
        p50Microseconds: measured.histogram.valueAtPercentile(50),
        p99Microseconds: measured.histogram.valueAtPercentile(99), maximumMicroseconds: measured.maximum,
        sumMicroseconds: measured.sum)
    }
  }
}
