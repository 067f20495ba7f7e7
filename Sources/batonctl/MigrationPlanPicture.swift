import RegistryInterface

/// A plan as people see it: what it comes to, the figures behind it, and a picture of the time.
///
/// Pure: values in, lines out.
struct MigrationPlanPicture {
  let guest: String
  let host: String
  let plan: MigrationProgress
  let limits: MigrationLimits
  let style: PictureStyle

  /// - Parameters:
  ///   - width: Columns for the picture; below 60 it is left out.
  ///   - tableWidth: Columns to wrap the table at; nil for not at all.
  func lines(width: Int, tableWidth: Int?) -> [String] {
    var lines = heading
    var table = TextTable([.init("PLAN"), .init("")])
    for row in rows { table.append([.init(row.name), .init(row.figure, row.color)]) }
    lines.append("")
    lines += table.lines(width: tableWidth.map { $0 - 2 }, style: style).dropFirst().map { "  \($0)" }
    if plan.willConverge { lines += picture(width: width) }
    return lines
  }

  private var checks: [Check] { plan.checks ?? [] }

  private struct Row {
    let name: String
    let figure: String
    var color: PictureStyle.Color?
  }

  private var heading: [String] {
    let name = style.paint("migration of \(PlainText.clean(guest)) to \(PlainText.clean(host))", .strong)
    let isRefused = checks.contains { $0.verdict == .fail }
    let verdict =
      if isRefused {
        style.paint("would be refused", .bad)
      } else if !plan.willConverge {
        style.paint("will not converge", .bad)
      } else if limits.isTooSlow(plan) {
        style.paint("takes longer than it may", .bad)
      } else {
        style.paint("would take \(time)", .good)
      }
    return ["\(name): \(verdict)"]
  }

  private var time: String { MigrationText.rough(milliseconds: plan.expectedMilliseconds) }
  private var pause: String { MigrationText.rough(milliseconds: plan.expectedPauseMilliseconds) }

  private var rows: [Row] {
    var rows = [Row(name: "pages", figure: pages)]
    rows.append(Row(name: "moved", figure: moved))
    rows.append(Row(name: "written", figure: written))
    if plan.willConverge {
      if plan.expectedRounds > 0 { rows.append(Row(name: "rounds", figure: "\(plan.expectedRounds)")) }
      let limit = limits.maxTimeSeconds.map {
        " of at most \(MigrationText.rough(milliseconds: UInt64($0) * 1000))"
      }
      rows.append(Row(name: "time", figure: time + (limit ?? ""), color: limits.isTooSlow(plan) ? .bad : nil))
    }
    let limit = MigrationText.rough(milliseconds: UInt64(limits.maxPauseMilliseconds))
    rows.append(
      Row(name: "pause", figure: "\(pause) of at most \(limit)", color: plan.willConverge ? nil : .bad))
    // What is in order needs no words here; batonctl preflight --remote has all of it.
    for check in checks where check.verdict != .pass {
      let color: PictureStyle.Color = check.verdict == .fail ? .bad : .notable
      rows.append(Row(name: check.name, figure: "\(check.verdict.rawValue): \(check.detail)", color: color))
    }
    return rows
  }

  private var pages: String {
    let bytes = PlainText.size(bytes: plan.pagesTotal &* 4096)
    let kinds = [
      (plan.encryptedPages, "encrypted"), (plan.plainPages, "plain"), (plan.zeroPages, "zero"),
    ]
    let known = kinds.filter { $0.0 > 0 }.map { "\(PlainText.grouped($0.0)) \($0.1)" }
    return "\(PlainText.grouped(plan.pagesTotal)) (\(bytes))"
      + (known.isEmpty ? "" : ": \(known.joined(separator: ", "))")
  }

  private var moved: String {
    var text = "\(PlainText.grouped(plan.pagesPerSecond)) pages/s"
    if plan.linkBytesPerSecond > 0 {
      text += ", the link carries \(MigrationText.rate(bytesPerSecond: plan.linkBytesPerSecond))"
    }
    if let limit = limits.bandwidthBytesPerSecond {
      text += ", limited to \(MigrationText.rate(bytesPerSecond: limit))"
    }
    return text
  }

  private var written: String {
    var text = "\(PlainText.grouped(plan.dirtyPagesPerSecond)) pages/s by the guest"
    if plan.workingSetPages > 0 {
      text += ", about \(PlainText.grouped(plan.workingSetPages)) again and again"
    }
    return text
  }

  /// Two bars with a scale each, as in the timeline of a handoff: minutes would hide milliseconds.
  private func picture(width: Int) -> [String] {
    let room = min(width, 160) - Self.labelWidth - 1
    guard room >= 30 else { return [] }
    let pauseMilliseconds = plan.expectedPauseMilliseconds
    let copyMilliseconds = plan.expectedMilliseconds - min(pauseMilliseconds, plan.expectedMilliseconds)
    let pauseColumns = max(16, room / 4)
    let copyColumns = room - pauseColumns
    let (light, full) = style.unicode ? ("▒", "█") : ("=", "#")
    func bar(_ fill: String, _ count: Int, _ color: PictureStyle.Color) -> String {
      style.paint(String(repeating: fill, count: count), color)
    }
    let space = String(repeating: " ", count: copyColumns)
    let axis =
      Self.dimension(MigrationText.rough(milliseconds: copyMilliseconds), copyColumns, style, isLast: false)
      + Self.dimension("pause \(pause)", pauseColumns, style, isLast: true)
    let legend = Self.center("guest runs here", copyColumns) + Self.center("guest paused", pauseColumns)
    let indent = String(repeating: " ", count: Self.labelWidth)
    return [
      "",
      Self.label("copy", MigrationText.rough(milliseconds: copyMilliseconds))
        + bar(light, copyColumns, .good),
      Self.label("finish", pause) + space + bar(full, pauseColumns, .bad),
      indent + style.paint(axis, .faint), indent + style.paint(Self.trimmed(legend), .faint),
    ]
  }

  /// Two spaces, a name, a duration, two spaces.
  private static let labelWidth = 2 + 8 + 14 + 2

  private static func label(_ name: String, _ figure: String) -> String {
    let name = name + String(repeating: " ", count: max(0, 8 - name.count))
    return "  \(name)\(String(repeating: " ", count: max(0, 14 - figure.count)))\(figure)  "
  }

  private static func dimension(_ text: String, _ width: Int, _ style: PictureStyle, isLast: Bool) -> String {
    let (left, dash, right) = style.unicode ? ("├", "─", "┤") : ("|", "-", "|")
    let room = width - 1 - (isLast ? 1 : 0)
    let label = text.count + 2 <= room ? " \(text) " : ""
    let before = (room - label.count) / 2
    return left + String(repeating: dash, count: before) + label
      + String(repeating: dash, count: room - label.count - before) + (isLast ? right : "")
  }

  private static func center(_ text: String, _ width: Int) -> String {
    let before = max(0, (width - text.count) / 2)
    let after = max(0, width - text.count - before)
    return String(repeating: " ", count: before) + text + String(repeating: " ", count: after)
  }

  private static func trimmed(_ line: String) -> String {
    var line = line
    while line.last == " " { line.removeLast() }
    return line
  }
}
