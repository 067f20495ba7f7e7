import RegistryInterface

extension Results {
  /// Whole migrations from host to host.
  struct Migration: Codable {
    /// One for each size of RAM.
    var plain: [Plain] = []
    var encrypted: Encrypted?
    var throttled: Throttled?
    /// What could not be measured, and why.
    var failures: [String] = []

    /// What `batonctl` foretold of one migration, and what it came to.
    struct Forecast: Codable {
      let predictedMilliseconds: UInt64
      let realMilliseconds: UInt64
      let predictedPauseMicroseconds: UInt64
      let realPauseMicroseconds: UInt64

      init(_ journey: MigrationGuest.Journey) {
        predictedMilliseconds = journey.predictedMilliseconds
        realMilliseconds = journey.realMilliseconds
        predictedPauseMicroseconds = journey.predictedPauseMicroseconds
        realPauseMicroseconds = journey.realPauseMicroseconds
      }

      /// Real by predicted.
      var timeRatio: Double { Double(realMilliseconds) / Double(max(1, predictedMilliseconds)) }
      var pauseRatio: Double { Double(realPauseMicroseconds) / Double(max(1, predictedPauseMicroseconds)) }
    }

    /// A guest without encryption.
    struct Plain: Codable {
      /// RAM, and what the guest did.
      let name: String
      let ramMebibytes: Int
      /// Time for a GiB that passes, from the first page to the guest's first instruction at the target.
      let path: Figures
      /// The same of other programs; nil where they are not there or were not asked.
      let openSSL: Figures?
      let socat: Figures?
      let iperf3: Figures?
      let pause: Figures
      let processorSecondsPerGibibyte: Double
      let forecasts: [Forecast]
      /// The largest of any VMM, beyond guest RAM.
      let vmmByteCount: UInt64
      /// The largest of either sidecar.
      let sidecarByteCounts: [UInt64]

      /// The rate as a share of openssl's.
      var ratio: Double? { openSSL.map { Double($0.p50Nanoseconds) / Double(path.p50Nanoseconds) } }
      var ratioOfSocat: Double? { socat.map { Double($0.p50Nanoseconds) / Double(path.p50Nanoseconds) } }
    }

    /// A SEV guest of the model.
    struct Encrypted: Codable {
      let ramMebibytes: Int
      /// Of each migration.
      let pagesPerSecond: [Double]
      /// Before each migration, inside one process.
      let possible: [Pages]
      let pause: Figures
      let processorSecondsPerGibibyte: Double
      let forecasts: [Forecast]

      var medianPagesPerSecond: Double { ResultTable.median(pagesPerSecond) }
      /// What the slower side could do if it did nothing else; both sides work at the same time.
      var possiblePagesPerSecond: Double {
        ResultTable.median(possible.map { min($0.sentPerSecond, $0.receivedPerSecond) })
      }
    }

    /// A device as slow as a real one.
    struct Throttled: Codable {
      let pagesPerSecond: Int
      let ramMebibytes: Int
      /// Of a guest that writes little.
      let forecasts: [Forecast]
      /// Of the plan for a guest that writes as much as it can.
      let dirtyPagesPerSecond: UInt64
      let movedPagesPerSecond: UInt64
      let isRefused: Bool
      /// What `batonctl` said.
      let refusal: String?
    }
  }

  /// What migrations are to reach.
  var migrationTargets: [Target] {
    guard let migration else { return [] }
    var targets: [Target] = []
    func add(_ name: String, _ measured: Double, _ limit: Double, isFloor: Bool = false) {
      targets.append(
        Target(
          name: name, measured: measured, limit: limit, isFloor: isFloor,
          isReached: isFloor ? measured >= limit : measured <= limit))
    }
    func add(_ name: String, _ forecasts: [Migration.Forecast]) {
      let times = ResultTable.median(forecasts.map { abs($0.timeRatio - 1) })
      let pauses = ResultTable.median(forecasts.map { abs($0.pauseRatio - 1) })
      add("migration of \(name), time real by predicted, off by", times, 0.15)
      add("migration of \(name), pause real by predicted, off by", pauses, 0.15)
    }
    for size in migration.plain {
      let name = size.name
      if let ratio = size.ratio {
        add("rate of a migration of \(name) / openssl's TLS 1.3 stream", ratio, 0.6, isFloor: true)
      }
      if let ratio = size.ratioOfSocat {
        add("rate of a migration of \(name) / socat's TLS 1.3 stream", ratio, 0.6, isFloor: true)
      }
      add(name, size.forecasts)
    }
    if let largest = migration.plain.max(by: { $0.ramMebibytes < $1.ramMebibytes }) {
      let name = "while \(largest.ramMebibytes) MiB pass, MiB"
      let sidecar = largest.sidecarByteCounts.max() ?? 0
      add("a sidecar \(name)", Double(sidecar) / 1_048_576, 64)
      add("a VMM beyond guest RAM \(name)", Double(largest.vmmByteCount) / 1_048_576, 64)
    }
    if let encrypted = migration.encrypted { add("a SEV guest", encrypted.forecasts) }
    if let throttled = migration.throttled {
      add("a SEV guest at \(throttled.pagesPerSecond) pages a second", throttled.forecasts)
      add(
        "guest that writes faster than \(throttled.pagesPerSecond) pages a second is refused",
        throttled.isRefused ? 1 : 0, 1, isFloor: true)
    }
    return targets
  }
}

extension ResultTable {
  /// What was measured of migrations from host to host.
  mutating func migration() {
    guard let migration = results.migration else { return }
    if migration.plain.contains(where: { $0.openSSL != nil || $0.iperf3 != nil }) { rates(migration.plain) }
    pauses(migration)
    forecasts(migration)
    for size in migration.plain {
      let sidecars = size.sidecarByteCounts.map { "\($0 >> 20)" }.joined(separator: " and ")
      lines += [
        "  \(size.name): resident at most \(sidecars) MiB in the sidecars, "
          + "\(size.vmmByteCount >> 20) MiB beyond guest RAM in any VMM"
      ]
    }
    if let encrypted = migration.encrypted {
      let share = encrypted.medianPagesPerSecond / max(1, encrypted.possiblePagesPerSecond)
      lines += [
        "", "SEV guest of \(encrypted.ramMebibytes) MiB, pages a second (median)",
        "  migration: \(Int(encrypted.medianPagesPerSecond)); the model's cryptography alone, slower side: "
          + "\(Int(encrypted.possiblePagesPerSecond)); share \(Self.decimal(share, digits: 3))",
      ]
    }
    if let throttled = migration.throttled {
      let nominal = throttled.ramMebibytes * 256 / throttled.pagesPerSecond
      lines += [
        "",
        "Device of \(throttled.pagesPerSecond) pages a second, SEV guest of \(throttled.ramMebibytes) MiB",
        "  foretold \(Self.seconds(Self.median(throttled.forecasts.map(\.predictedMilliseconds)))) s, took "
          + "\(Self.seconds(Self.median(throttled.forecasts.map(\.realMilliseconds)))) s; each page once is \(nominal) s",
        "  a guest that writes \(throttled.dirtyPagesPerSecond) pages a second, \(throttled.movedPagesPerSecond) "
          + "can be moved: \(throttled.isRefused ? "refused" : "NOT refused")",
      ]
      if let refusal = throttled.refusal { lines.append("  \(refusal)") }
    }
  }

  private mutating func rates(_ sizes: [Results.Migration.Plain]) {
    var table = TextTable([
      .init("RAM"), .init("STREAM"), .init("COUNT", numeric: true), .init("P50", numeric: true),
      .init("P99", numeric: true), .init("MAX", numeric: true), .init("OF OPENSSL", numeric: true),
    ])
    for size in sizes {
      let rows: [(String, Figures?)] = [
        ("migration", size.path), ("openssl s_client, s_server", size.openSSL),
        ("socat, blocks of 256 KiB", size.socat), ("iperf3, no TLS", size.iperf3),
      ]
      for (name, figures) in rows {
        guard let figures else { continue }
        let share = size.openSSL.map { Double($0.p50Nanoseconds) / Double(figures.p50Nanoseconds) }
        table.append(
          [
            size.name, name, "\(figures.count)", Self.rate(figures.p50Nanoseconds),
            Self.rate(figures.p99Nanoseconds), Self.rate(figures.minimumNanoseconds),
            share.map { Self.decimal($0, digits: 2) } ?? "-",
          ].map { .init($0) })
      }
    }
    add(
      table,
      title: "Whole migrations of a plain guest over loopback, MiB a second (99 of 100 reach P99)")
  }

  private mutating func pauses(_ migration: Results.Migration) {
    var table = TextTable([
      .init("GUEST"), .init("COUNT", numeric: true), .init("P50", numeric: true), .init("P99", numeric: true),
      .init("MAX", numeric: true), .init("CPU S A GIB", numeric: true),
    ])
    func append(_ name: String, _ pause: Figures, _ processorSeconds: Double) {
      table.append(
        [
          name, "\(pause.count)", Self.milliseconds(pause.p50Nanoseconds),
          Self.milliseconds(pause.p99Nanoseconds), Self.milliseconds(pause.maximumNanoseconds),
          Self.decimal(processorSeconds, digits: 2),
        ].map { .init($0) })
    }
    for size in migration.plain {
      append(size.name, size.pause, size.processorSecondsPerGibibyte)
    }
    if let encrypted = migration.encrypted {
      append("SEV, \(encrypted.ramMebibytes) MiB", encrypted.pause, encrypted.processorSecondsPerGibibyte)
    }
    add(
      table,
      title: "Pause of a migration, ms, and CPU seconds of all processes of both sides for a GiB that passes")
  }

  private mutating func forecasts(_ migration: Results.Migration) {
    var table = TextTable([
      .init("GUEST"), .init("COUNT", numeric: true), .init("FORETOLD, S", numeric: true),
      .init("REAL, S", numeric: true), .init("TIME", numeric: true), .init("FROM - TO", numeric: true),
      .init("SPREAD", numeric: true), .init("PAUSE", numeric: true), .init("FROM - TO", numeric: true),
      .init("SPREAD", numeric: true),
    ])
    func append(_ name: String, _ forecasts: [Results.Migration.Forecast]) {
      guard !forecasts.isEmpty else { return }
      table.append(
        [
          name, "\(forecasts.count)", Self.seconds(Self.median(forecasts.map(\.predictedMilliseconds))),
          Self.seconds(Self.median(forecasts.map(\.realMilliseconds))),
          Self.decimal(Self.median(forecasts.map(\.timeRatio)), digits: 2),
          Self.range(forecasts.map(\.timeRatio)), Self.spread(forecasts.map(\.realMilliseconds)),
          Self.decimal(Self.median(forecasts.map(\.pauseRatio)), digits: 2),
          Self.range(forecasts.map(\.pauseRatio)), Self.spread(forecasts.map(\.realPauseMicroseconds)),
        ].map { .init($0) })
    }
    for size in migration.plain { append(size.name, size.forecasts) }
    if let encrypted = migration.encrypted {
      append("SEV, \(encrypted.ramMebibytes) MiB", encrypted.forecasts)
    }
    if let throttled = migration.throttled {
      append("SEV, \(throttled.pagesPerSecond) pages/s", throttled.forecasts)
    }
    add(
      table,
      title: "What the plan foretold: real by foretold (medians), and how far the real ones spread"
    )
  }

  /// The middle one, the upper of two; 0 of none.
  static func median<Number: Comparable & ExpressibleByIntegerLiteral>(_ numbers: [Number]) -> Number {
    numbers.isEmpty ? 0 : numbers.sorted()[numbers.count / 2]
  }

  /// How far the middle one of them is from the median of all, as a share of it: a forecast that were always the same
  /// could hardly be nearer.
  private static func spread(_ real: [UInt64]) -> String {
    let middle = Double(max(1, median(real)))
    return decimal(median(real.map { abs(Double($0) / middle - 1) }), digits: 2)
  }

  private static func range(_ ratios: [Double]) -> String {
    "\(decimal(ratios.min() ?? 0, digits: 2)) - \(decimal(ratios.max() ?? 0, digits: 2))"
  }

  private static func seconds(_ milliseconds: UInt64) -> String {
    decimal(Double(milliseconds) / 1000, digits: 2)
  }
}
