import RegistryInterface

/// The results for people.
struct ResultTable {
  let results: Results
  var lines: [String] = []

  init(_ results: Results) { self.results = results }

  var text: String {
    var copy = self
    copy.fill()
    return copy.lines.map { $0 + "\n" }.joined()
  }

  private mutating func fill() {
    let host = results.host
    lines.append(
      "\(host.processors) x \(host.processor), Linux \(host.kernel), load \(host.loadBefore) before and \(host.loadAfter) after"
    )
    comparisons()
    phases()
    others()
    model()
    library()
    remote()
    migration()
    systemd()
    targets()
    for failure in results.failures { lines += ["", "NOT MEASURED: \(failure)"] }
  }

  mutating func add(_ table: TextTable, title: String) {
    lines += ["", title]
    lines += table.lines(width: nil, style: PictureStyle(unicode: false))
  }

  private mutating func comparisons() {
    guard !results.comparisons.isEmpty else { return }
    var table = TextTable([
      .init("RAM"), .init("WAY"), .init("HANDOFFS", numeric: true), .init("C P50", numeric: true),
      .init("C P99", numeric: true), .init("C MAX", numeric: true), .init("OURS P50", numeric: true),
      .init("OURS P99", numeric: true), .init("OURS MAX", numeric: true), .init("P50 RATIO", numeric: true),
    ])
    for comparison in results.comparisons {
      let floor = comparison.floor
      let ours = comparison.ours
      table.append(
        ["\(comparison.ramMebibytes) MiB", comparison.way.rawValue, "\(ours.count)"].map { .init($0) }
          + [
            floor.p50Nanoseconds, floor.p99Nanoseconds, floor.maximumNanoseconds, ours.p50Nanoseconds,
            ours.p99Nanoseconds, ours.maximumNanoseconds,
          ].map { .init(Self.microseconds($0)) } + [.init(Self.decimal(comparison.ratio, digits: 2))])
    }
    add(table, title: "Blackout by the guest's own stamps, two busy software vCPUs, microseconds")
  }

  private mutating func phases() {
    for comparison in results.comparisons {
      lines += ["", "Where \(comparison.name) spend the blackout, p50 / p99, microseconds"]
      lines.append("  C:    " + Self.row(comparison.floorPhases))
      lines.append("  ours: " + Self.row(comparison.ourPhases))
    }
  }

  static func row(_ phases: [Results.Phase]) -> String {
    phases.map {
      "\($0.name) \(microseconds($0.figures.p50Nanoseconds)) / \(microseconds($0.figures.p99Nanoseconds))"
    }.joined(separator: ", ")
  }

  private mutating func others() {
    if let real = results.realVCPUs {
      lines += [
        "", "Real vCPUs: " + (real.figures.map { Self.figures($0) } ?? real.reason ?? "nothing was measured"),
      ]
    }
    if let rolling = results.rolling {
      lines += [
        "",
        "\(rolling.guests) guests of 64 MiB, \(rolling.parallel) at a time: "
          + "\(Self.decimal(Double(rolling.totalNanoseconds) / 1e9, digits: 2)) s in all; blackout "
          + (rolling.blackout.map { Self.figures($0) } ?? "not measured"),
      ]
    }
    if let memory = results.memory {
      lines += [
        "",
        "Registry with \(memory.guests) guests: \(Self.mebibytes(memory.residentByteCount)) MiB resident, "
          + "\(Self.mebibytes(memory.emptyByteCount)) with none",
      ]
    }
  }

  private mutating func model() {
    guard let model = results.model else { return }
    lines.append("")
    for (name, figures) in [("LOCAL_SEND", model.localSend), ("LOCAL_RECEIVE", model.localReceive)] {
      guard let figures else { continue }
      lines.append("Model, \(name) round trip: \(Self.figures(figures, of: "calls"))")
    }
    for (place, pages) in [("inside one process", model.inside), ("over the socket", model.socket)] {
      lines.append(
        "Model, pages a second \(place): SEND_UPDATE_DATA \(Int(pages.sentPerSecond)), "
          + "RECEIVE_UPDATE_DATA \(Int(pages.receivedPerSecond))")
    }
    lines.append(
      model.possiblePagesPerSecond.map {
        "openssl speed on this core: AES-128-CTR and HMAC-SHA256 of \(Int($0)) pages a second"
      } ?? "openssl is not there, so nothing says what this core could do")
  }

  private mutating func targets() {
    lines.append("")
    for target in results.evaluatedTargets {
      lines.append(
        "\(target.isReached ? "reached    " : "NOT reached") \(target.name): "
          + "\(Self.decimal(target.measured, digits: 2)), at \(target.isFloor ? "least" : "most") \(Self.decimal(target.limit, digits: 2))"
      )
    }
  }

  static func figures(_ figures: Figures, of what: String = "handoffs") -> String {
    "p50 \(microseconds(figures.p50Nanoseconds)), p99 \(microseconds(figures.p99Nanoseconds)), "
      + "max \(microseconds(figures.maximumNanoseconds)) microseconds (\(figures.count) \(what))"
  }

  static func microseconds(_ nanoseconds: UInt64) -> String {
    decimal(Double(nanoseconds) / 1000, digits: 1)
  }

  static func milliseconds(_ nanoseconds: UInt64) -> String {
    decimal(Double(nanoseconds) / 1e6, digits: 1)
  }

  private static func mebibytes(_ bytes: UInt64) -> String {
    decimal(Double(bytes) / 1_048_576, digits: 1)
  }

  static func decimal(_ value: Double, digits: Int) -> String {
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = Int((value * scale).rounded())
    let fraction = String(scaled % Int(scale))
    return "\(scaled / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
  }
}
