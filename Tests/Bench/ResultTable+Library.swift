extension Results {
  /// The library for C beside the Swift one.
  struct Library: Codable {
    /// Why there are no figures.
    let reason: String?
    let ramMebibytes: Int
    /// Blackouts from process to process.
    let swift: Figures?
    let c: Figures?
    /// Size of libbaton.so.1.
    let byteCount: UInt64
    /// A process without and with the library from start to end, and `dlopen`.
    let loading: [Phase]

    var ratio: Double? {
      guard let swift, let c else { return nil }
      return Double(c.p50Nanoseconds) / Double(swift.p50Nanoseconds)
    }
  }
}

extension ResultTable {
  /// What was measured of libbaton, or why nothing was.
  mutating func library() {
    guard let library = results.library else { return }
    if let reason = library.reason { lines += ["", "SKIPPED: libbaton, because \(reason)"] }
    guard let swift = library.swift, let c = library.c, let ratio = library.ratio else { return }
    lines += [
      "", "Plain guest of \(library.ramMebibytes) MiB, blackout from process to process",
      "  Swift: " + Self.figures(swift), "  C:     " + Self.figures(c),
      "  ratio of p50: " + Self.decimal(ratio, digits: 2),
      "libbaton.so.1 has \(library.byteCount >> 10) KiB",
    ]
    for phase in library.loading {
      let what =
        switch phase.name {
        case "execWithout": "process without it, from start to end"
        case "execWith": "process with it, from start to end"
        case _: "dlopen of it"
        }
      lines.append("  \(what): \(Self.figures(phase.figures, of: "times"))")
    }
  }
}
