import RegistryInterface

/// What a migration came to, beside what was foretold, and what to do next on either host.
///
/// Pure: values in, lines out.
struct MigrationSummary: Encodable {
  /// A few figures of either.
  struct Figures: Encodable, Hashable {
    var milliseconds: UInt64
    var pauseMicroseconds: UInt64
    var rounds: UInt64?
    var pages: UInt64?
    var bytes: UInt64?
  }

  let predicted: Figures
  let real: Figures

  /// - Parameters:
  ///   - plan: What was foretold.
  ///   - last: The last report with figures.
  init(plan: MigrationProgress, last: MigrationProgress) {
    predicted = Figures(
      milliseconds: plan.expectedMilliseconds,
      pauseMicroseconds: plan.expectedPauseMicroseconds > 0
        ? plan.expectedPauseMicroseconds : plan.expectedPauseMilliseconds &* 1000,
      rounds: plan.expectedRounds == 0 ? nil : plan.expectedRounds)
    real = Figures(
      milliseconds: last.elapsedMilliseconds, pauseMicroseconds: last.pauseMicroseconds,
      rounds: last.round == 0 ? nil : last.round, pages: last.pagesSent, bytes: last.bytesSent)
  }

  func lines(style: PictureStyle) -> [String] {
    var table = TextTable([
      .init(""), .init("PREDICTED", numeric: true), .init("REAL", numeric: true),
    ])
    func pause(_ microseconds: UInt64) -> String {
      switch microseconds {
      case 0: "-"
      case 1..<1_000_000: PlainText.duration(microseconds: microseconds, unicode: style.unicode)
      case _: MigrationText.rough(milliseconds: microseconds / 1000)
      }
    }
    table.append([
      .init("time"), .init(MigrationText.rough(milliseconds: predicted.milliseconds)),
      .init(MigrationText.rough(milliseconds: real.milliseconds)),
    ])
    table.append([
      .init("pause"), .init(pause(predicted.pauseMicroseconds)), .init(pause(real.pauseMicroseconds)),
    ])
    if let rounds = real.rounds {
      table.append([
        .init("rounds"), .init(predicted.rounds.map { "\($0)" } ?? "-"), .init("\(rounds)"),
      ])
    }
    if let pages = real.pages {
      table.append([.init("pages"), "-", .init(PlainText.grouped(pages))])
    }
    if let bytes = real.bytes, bytes > 0 {
      table.append([.init("sent"), "-", .init(PlainText.size(bytes: bytes))])
    }
    return table.lines(width: nil, style: style).map { "  \($0)" }
  }
}
