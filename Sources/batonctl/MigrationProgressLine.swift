import RegistryInterface

/// The live line of a migration: as much of it as the terminal has room for.
///
/// Pure: values in, a line out.
struct MigrationProgressLine {
  let guest: String
  let host: String
  let style: PictureStyle

  /// For a terminal that draws it over itself; at most `width` columns.
  func drawn(_ migration: Migration, width: Int) -> String {
    let subject = PlainText.clean("\(guest) to \(host): \(migration.words)")
    let figures = figures(migration)
    guard migration.share > 0 else { return String(subject.prefix(width)) }
    let percent = "\(Int(migration.share * 100)) %"
    // By the terminal alone, so that the bar does not change its length with what stands beside it.
    let bar = width >= 150 ? 40 : width >= 100 ? 20 : 10
    // What matters least goes first.
    for count in stride(from: figures.count, through: 0, by: -1) {
      let tail = ([percent] + figures.prefix(count)).joined(separator: "  ")
      let room = width - subject.count - tail.count - 4
      if bar <= room {
        return
          "\(subject)  \(MigrationText.bar(migration.share, width: bar, unicode: style.unicode))  \(tail)"
      }
      if count == 0 { return String("\(subject)  \(tail)".prefix(width)) }
    }
    return String(subject.prefix(width))
  }

  /// For a log: one line of words.
  func line(_ migration: Migration) -> String {
    let head = PlainText.clean("\(guest): \(migration.words)")
    guard migration.phase == .copying else { return head }
    return "\(head), \(([("\(Int(migration.share * 100)) %")] + figures(migration)).joined(separator: ", "))"
  }

  /// The most important first.
  private func figures(_ migration: Migration) -> [String] {
    guard let progress = migration.progress else { return [] }
    let left = "\(PlainText.grouped(progress.pagesRemaining)) left"
    switch migration.phase {
    case .copying:
      let end =
        progress.willConverge
        ? "ETA \(MigrationText.rough(milliseconds: progress.expectedMilliseconds))" : "no end in sight"
      return [
        end, left, "\(PlainText.grouped(progress.pagesPerSecond)) pages/s",
        "\(PlainText.grouped(progress.dirtyPagesPerSecond)) written/s",
      ]
    case .finishing: return [left]
    case .connecting, .checking, .planning, .ready, .departing, .departed, .arriving, .arrived, .done,
      .failed:
      return []
    }
  }
}
