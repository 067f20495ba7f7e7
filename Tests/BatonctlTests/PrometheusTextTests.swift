import RegistryInterface
import Testing

@testable import batonctl

@Suite("Metrics in the text format of Prometheus")
struct PrometheusTextTests {
  static var reply: MetricsReply {
    var counters = Counters()
    counters.guestsByState = Dictionary(
      uniqueKeysWithValues: GuestState.allCases.map { ($0.rawValue, $0 == .running ? 2 : 0) })
    counters.attempts = [
      AttemptCount(outcome: .committed, count: 5),
      AttemptCount(outcome: .aborted, refusal: "successorDeclined", count: 2),
    ]
    counters.refusals = ["wrongPeer": 3, "odd \"name\\\n": 1]
    counters.startedRealtimeMicroseconds = 1_700_000_000_500_000
    counters.handoffsParked = 1
    counters.guestsRegistered = 2
    counters.guestsEnded = 0
    counters.slotsBarred = 1
    counters.slotsBarredTotal = 4
    counters.alarmsRaised = 0
    counters.storeDescriptors = 4
    counters.storeCapacity = 2048
    counters.journalCapacityBytes = 1 << 20
    counters.operatorWatches = 1
    counters.vmmConnectionsTotal = 9
    counters.operatorConnectionsTotal = 10
    counters.logLinesDropped = 0
    counters.migrationsPlanned = 2
    counters.migrationsStarted = 1
    counters.migrationsDeparted = 1
    let buckets = [(100, 0), (250, 1), (500, 3), (1_000_000, 4)].map {
      Bucket(upToMicroseconds: $0.0, count: $0.1)
    }
    let names = ["blackout", "handoff"] + PhaseName.allCases.map(\.rawValue)
    return MetricsReply(
      counters: counters,
      histograms: names.map {
        LatencyHistogram(
          name: $0, count: 5, minimumMicroseconds: 200, p50Microseconds: 300, p99Microseconds: 2_000_000,
          maximumMicroseconds: 2_000_000, sumMicroseconds: 2_001_100, buckets: buckets)
      }, build: Build(version: "1.2.0", buildId: "0123abcd"))
  }

  /// A sample line, taken apart.
  struct Sample {
    let name: String
    let labels: [String: String]
    let value: Double

    init?(_ line: String) throws {
      guard !line.hasPrefix("#") else { return nil }
      let match = try #require(line.wholeMatch(of: /([a-z_]+)(?:\{(.*)\})? (\S+)/), "\(line)")
      name = String(match.1)
      var labels: [String: String] = [:]
      var rest = match.2.map { $0[...] } ?? ""
      while !rest.isEmpty {
        let pair = try #require(rest.prefixMatch(of: /([a-z_]+)="((?:[^"\\]|\\[\\"n])*)",?/), "\(line)")
        #expect(labels.updateValue(String(pair.2), forKey: String(pair.1)) == nil, "\(line)")
        rest = rest[pair.range.upperBound...]
      }
      self.labels = labels
      value = try #require(Double(match.3), "\(line)")
    }
  }

  @Test("has help and type before each family, each family once, and no sample twice")
  func form() throws {
    let lines = PrometheusText(Self.reply).lines
    var types: [String: String] = [:]
    var current = ""
    var seen: Set<String> = []
    for (index, line) in lines.enumerated() {
      if let help = line.wholeMatch(of: /# HELP ([a-z_]+) (.+\.)/) {
        #expect(types[String(help.1)] == nil, "\(line)")
        current = String(help.1)
        #expect(lines[index + 1].hasPrefix("# TYPE \(current) "))
        continue
      }
      if let type = line.wholeMatch(of: /# TYPE ([a-z_]+) (gauge|counter|histogram)/) {
        types[String(type.1)] = String(type.2)
        continue
      }
      let sample = try #require(try Sample(line))
      #expect(seen.insert(String(line.prefix { $0 != "}" })).inserted, "\(line)")
      if types[current] == "histogram" {
        #expect(["_bucket", "_sum", "_count"].contains { "\(current)\($0)" == sample.name }, "\(line)")
      } else {
        #expect(sample.name == current, "\(line)")
      }
    }
    #expect(types.count > 25)
    #expect(PrometheusText(Self.reply).text.hasSuffix("\n"))
  }

  @Test("keeps the naming rules: one prefix, base units, _total for counters and for nothing else")
  func names() {
    let types = PrometheusText(Self.reply).lines.compactMap { $0.wholeMatch(of: /# TYPE (\S+) (\S+)/) }
    for type in types {
      let name = String(type.1)
      #expect(name.hasPrefix("baton_") && !name.hasSuffix("_") && !name.contains("__"))
      #expect((type.2 == "counter") == name.hasSuffix("_total"), "\(name)")
      // promtool's linter: suffixes that are reserved, units that are not base units, types in names.
      for word in ["count", "sum", "bucket"] { #expect(!name.hasSuffix("_\(word)"), "\(name)") }
      for word in [
        "ms", "us", "milliseconds", "microseconds", "minutes", "hours", "kib", "mib", "kilobytes", "percent",
        "gauge", "counter", "histogram",
      ] {
        #expect(!name.split(separator: "_").contains(word[...]), "\(name)")
      }
      if type.2 == "histogram" { #expect(name.hasSuffix("_seconds"), "\(name)") }
    }
  }

  @Test("has histograms in seconds whose buckets only grow and end with all that was counted")
  func histograms() throws {
    let samples = try PrometheusText(Self.reply).lines.compactMap { try Sample($0) }
    let blackout = samples.filter { $0.name == "baton_blackout_seconds_bucket" }
    #expect(blackout.compactMap { $0.labels["le"] } == ["0.0001", "0.00025", "0.0005", "1", "+Inf"])
    #expect(blackout.map(\.value) == [0, 1, 3, 4, 5])
    #expect(samples.first { $0.name == "baton_blackout_seconds_sum" }?.value == 2.0011)
    #expect(samples.first { $0.name == "baton_blackout_seconds_count" }?.value == 5)
    let phases = Set(samples.compactMap { $0.labels["phase"] })
    #expect(phases == Set(PhaseName.allCases.map(\.rawValue)))
  }

  @Test("tells every outcome from the start, and no guest's name")
  func outcomes() throws {
    let samples = try PrometheusText(Self.reply).lines.compactMap { try Sample($0) }
    let handoffs = samples.filter { $0.name == "baton_handoffs_total" }
    let outcomes = Set(handoffs.compactMap { $0.labels["outcome"] })
    #expect(outcomes == Set(Outcome.allCases.filter { $0 != .inProgress }.map(\.rawValue)))
    #expect(handoffs.first { $0.labels["refusal"] == "successorDeclined" }?.value == 2)
    let labels = Set(samples.flatMap(\.labels.keys))
    #expect(
      labels == ["build_id", "version", "state", "outcome", "refusal", "event", "peer", "phase", "le"])
  }

  @Test("of a registry that tells less is still well formed")
  func older() throws {
    let text = PrometheusText(MetricsReply(counters: Counters(), histograms: []))
    let samples = try text.lines.compactMap { try Sample($0) }
    #expect(samples.contains { $0.name == "baton_handoffs_total" && $0.labels["outcome"] == "committed" })
    #expect(!samples.contains { $0.name == "baton_build_info" })
  }

  @Test("escapes what a label may not contain, and writes seconds without rounding")
  func details() {
    #expect(PrometheusText.escape("a\"b\\c\nd") == #"a\"b\\c\nd"#)
    #expect(PrometheusText.seconds(0) == "0")
    #expect(PrometheusText.seconds(312) == "0.000312")
    #expect(PrometheusText.seconds(1_700_000_000_500_000) == "1700000000.5")
    #expect(PrometheusText.seconds(10_000_000) == "10")
  }
}
