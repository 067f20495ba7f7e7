import RegistryInterface

extension ResultTable {
  /// What was measured with the installed units, or why nothing was.
  mutating func systemd() {
    guard let systemd = results.systemd else { return }
    if let reason = systemd.reason { lines += ["", "SKIPPED: everything under systemd, because \(reason)"] }
    guard let units = systemd.units else { return }
    if !units.sideBySide.isEmpty { sideBySide(units.sideBySide) }
    if !units.inPlace.isEmpty { inPlace(units.inPlace) }
    if let answer = units.firstAnswer {
      lines += ["", "batond's first answer through socket activation: \(Self.figures(answer, of: "starts"))"]
    }
  }

  private mutating func sideBySide(_ sizes: [Results.SideBySide]) {
    var table = TextTable(
      [.init("RAM"), .init("HANDOFFS", numeric: true)]
        + ["BARE P50", "BARE P99", "BARE MAX", "UNITS P50", "UNITS P99", "UNITS MAX", "P50 RATIO"].map {
          .init($0, numeric: true)
        })
    for size in sizes {
      table.append(
        ["\(size.ramMebibytes) MiB", "\(size.units.count)"].map { .init($0) }
          + [
            size.bare.p50Nanoseconds, size.bare.p99Nanoseconds, size.bare.maximumNanoseconds,
            size.units.p50Nanoseconds, size.units.p99Nanoseconds, size.units.maximumNanoseconds,
          ].map { .init(Self.microseconds($0)) } + [.init(Self.decimal(size.ratio, digits: 2))])
    }
    add(
      table,
      title: "Side by side under systemd: blackout of bare processes and of the units, microseconds")
    for size in sizes {
      lines += ["", "Where \(size.ramMebibytes) MiB spend it, p50 / p99, microseconds"]
      lines.append("  bare:  " + Self.row(size.barePhases))
      lines.append("  units: " + Self.row(size.unitPhases))
    }
  }

  private mutating func inPlace(_ sizes: [Results.InPlace]) {
    var table = TextTable(
      [.init("RAM"), .init("RESTARTS", numeric: true)]
        + (["P50", "P99", "MAX"] + UnitGuest.partNames.map { $0.uppercased() }).map {
          .init($0, numeric: true)
        })
    for size in sizes {
      let durations =
        [size.blackout.p50Nanoseconds, size.blackout.p99Nanoseconds, size.blackout.maximumNanoseconds]
        + size.parts.map(\.figures.p50Nanoseconds)
      table.append(
        ["\(size.ramMebibytes) MiB", "\(size.blackout.count)"].map { .init($0) }
          + durations.map { .init(Self.milliseconds($0)) })
    }
    add(table, title: "Restart in place: blackout, and the p50 of its parts, milliseconds")
  }
}
