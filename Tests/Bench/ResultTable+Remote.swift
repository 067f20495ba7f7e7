import RegistryInterface

extension Results {
  /// The way to another host, over loopback.
  struct Remote: Codable {
    /// Of each stream.
    let mebibytes: Int
    /// Time for a GiB, from local socket to local socket through two sidecars.
    let path: Figures
    /// The same of `openssl s_client` and `s_server`, of `socat`, and of iperf3 without TLS; nil where they are not there.
    let openSSL: Figures?
    let socat: Figures?
    let iperf3: Figures?
    /// Of both sidecars together.
    let processorSecondsPerGibibyte: Double
    /// Of one more stream, after which the largest resident memory was taken.
    let largeMebibytes: Int
    let sourceByteCount: UInt64
    let targetByteCount: UInt64

    /// The path's rate as a share of openssl's.
    var ratio: Double? { openSSL.map { Double($0.p50Nanoseconds) / Double(path.p50Nanoseconds) } }
    var ratioOfSocat: Double? { socat.map { Double($0.p50Nanoseconds) / Double(path.p50Nanoseconds) } }
  }

  /// What the path is to reach.
  var remoteTargets: [Target] {
    guard let remote else { return [] }
    var targets = [("source", remote.sourceByteCount), ("target", remote.targetByteCount)].map {
      name, count in
      let mebibytes = Double(count) / 1_048_576
      return Target(
        name: "\(name)'s sidecar after \(remote.largeMebibytes) MiB, MiB", measured: mebibytes, limit: 64,
        isFloor: false, isReached: mebibytes <= 64)
    }
    for (name, ratio) in [("openssl", remote.ratio), ("socat", remote.ratioOfSocat)] {
      guard let ratio else { continue }
      targets.append(
        Target(
          name: "rate of the path / \(name)'s TLS 1.3 stream", measured: ratio, limit: 0.6, isFloor: true,
          isReached: ratio >= 0.6))
    }
    return targets
  }
}

extension ResultTable {
  /// What was measured of the way to another host.
  mutating func remote() {
    guard let remote = results.remote else { return }
    var table = TextTable([
      .init("STREAM"), .init("COUNT", numeric: true), .init("P50", numeric: true),
      .init("P99", numeric: true),
      .init("MAX", numeric: true), .init("OF OPENSSL", numeric: true),
    ])
    let rows: [(String, Figures?)] = [
      ("two sidecars", remote.path), ("openssl s_client, s_server", remote.openSSL),
      ("socat, blocks of 256 KiB", remote.socat), ("iperf3, no TLS", remote.iperf3),
    ]
    for (name, figures) in rows {
      guard let figures else { continue }
      let share = remote.openSSL.map { Double($0.p50Nanoseconds) / Double(figures.p50Nanoseconds) }
      table.append(
        [
          name, "\(figures.count)", Self.rate(figures.p50Nanoseconds), Self.rate(figures.p99Nanoseconds),
          Self.rate(figures.minimumNanoseconds), share.map { Self.decimal($0, digits: 2) } ?? "-",
        ].map { .init($0) })
    }
    add(
      table, title: "One stream of \(remote.mebibytes) MiB over loopback, MiB a second (99 of 100 reach P99)")
    lines += [
      "  both sidecars: \(Self.decimal(remote.processorSecondsPerGibibyte, digits: 2)) CPU seconds a GiB; "
        + "resident at most \(remote.sourceByteCount >> 20) MiB at the source and \(remote.targetByteCount >> 20) MiB "
        + "at the target, with \(remote.largeMebibytes) MiB in one stream"
    ]
  }

  /// MiB a second of a time for a GiB.
  static func rate(_ nanoseconds: UInt64) -> String {
    "\(1024 * 1_000_000_000 / max(1, nanoseconds))"
  }
}
