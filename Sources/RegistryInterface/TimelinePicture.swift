/// The picture of a handoff: what it was, each phase in microseconds, and bars.
///
/// Pure: values in, lines out. Both `batonctl show` and the demo use it.
public struct TimelinePicture: Sendable {
  /// The handoff that is drawn.
  public let handoff: Handoff
  /// How it is drawn.
  public let style: PictureStyle

  /// A picture of a handoff.
  public init(_ handoff: Handoff, style: PictureStyle = PictureStyle()) {
    self.handoff = handoff
    self.style = style
  }

  /// The lines, without line ends.
  ///
  /// - Parameter width: Columns of the terminal. Below 60 the bars are left out.
  public func lines(width: Int) -> [String] {
    var lines = heading(width: width)
    guard !handoff.phases.isEmpty else { return lines + ["  no phase has begun"] }
    lines.append("")
    let barWidth = min(width, 160) - Self.labelWidth - 1
    let scale = barWidth >= 20 ? TimelineScale(handoff, width: barWidth) : nil
    let unit = style.unicode ? "µs" : "us"
    lines.append(
      style.paint("  phase    \(PlainText.padLeft("start \(unit)", to: 13))  ", .faint)
        + style.paint(PlainText.padLeft("took \(unit)", to: 12), .faint))
    for phase in handoff.phases {
      lines.append(row(phase, scale))
    }
    if let scale { lines += axis(scale) }
    return lines.map(Self.trimmed)
  }

  /// Two spaces, the phase's name, its start and its duration, and two spaces.
  private static let labelWidth = 2 + 8 + 14 + 14 + 2

  private func heading(width: Int) -> [String] {
    let number = "handoff \(handoff.number) of \(PlainText.clean(handoff.guest))"
    let color: PictureStyle.Color =
      switch handoff.outcome {
      case .committed: .good
      case .inProgress, .aborted, .takenBack, .ended: .notable
      case .lost: .bad
      }
    let epochs =
      handoff.epochAfter.map { "epoch \(handoff.epochBefore) to \($0)" } ?? "epoch \(handoff.epochBefore)"
    var lines = [
      "\(style.paint(number, .strong)): \(style.paint(handoff.outcome.words, color)), "
        + "\(handoff.parked == true ? "in place, " : "")way \(handoff.way.rawValue), \(epochs)"
    ]
    var facts = "  took \(text(handoff.durationMicroseconds))"
    if let blackout = handoff.blackoutMicroseconds {
      facts += ", " + style.paint("blackout \(text(blackout))", .bad)
    }
    lines.append(facts)
    lines += Self.wrapped("  source    ", describe(handoff.source), width)
    if let successor = handoff.successor {
      lines += Self.wrapped("  successor ", describe(successor), width)
    }
    if let refusal = handoff.refusal {
      let sentence =
        "\(PlainText.clean(refusal.name)) (\(refusal.by.rawValue)): \(PlainText.clean(refusal.sentence))"
      lines += TextTable.wrap(sentence, max(20, width - 4)).enumerated().map { index, piece in
        (index == 0 ? "  " : "    ") + style.paint(piece, .bad)
      }
    }
    return lines
  }

  /// A label and a text, as many lines as it needs.
  private static func wrapped(_ label: String, _ text: String, _ width: Int) -> [String] {
    TextTable.wrap(text, max(20, width - label.count)).enumerated().map { index, piece in
      (index == 0 ? label : String(repeating: " ", count: label.count)) + piece
    }
  }

  private func describe(_ process: VMMProcess) -> String {
    var text = "pid \(process.processId), uid \(process.userId)"
    if let build = process.buildId { text += ", build \(PlainText.build(build))" }
    if let unit = process.unit { text += ", \(PlainText.clean(unit))" }
    return text
  }

  private func row(_ phase: Phase, _ scale: TimelineScale?) -> String {
    let took = phase.durationMicroseconds.map(Self.figure) ?? (style.unicode ? "…" : "...")
    let label =
      "  \(PlainText.pad(phase.name.rawValue, to: 8))"
      + PlainText.padLeft(Self.figure(phase.startMicroseconds), to: 14)
      + PlainText.padLeft(took, to: 14) + "  "
    guard let scale else { return label }
    return label + bar(phase, scale)
  }

  /// A figure that fits its column, whatever a process claims.
  private static func figure(_ microseconds: UInt64) -> String {
    microseconds < 10_000_000_000 ? PlainText.grouped(microseconds) : "> 2.7 h"
  }

  /// A bar from one eighth of a column to another. Only the end is drawn finer than a column; a phase that
  /// still lasts ends in an arrow head.
  private func bar(_ phase: Phase, _ scale: TimelineScale) -> String {
    let eighths = scale.eighths(of: phase, in: handoff)
    let from = eighths.lowerBound / 8
    let length = eighths.upperBound - from * 8
    let space = String(repeating: " ", count: from)
    let isPaused = scale.isPaused(in: phase)
    let color: PictureStyle.Color = isPaused ? .bad : .good
    let cells = max(1, (length + 4) / 8)
    let (light, full) = style.unicode ? ("▒", "█") : ("=", "#")
    let fill = isPaused ? full : light
    if phase.durationMicroseconds == nil {
      return space + style.paint(String(repeating: fill, count: cells - 1) + ">", color)
    }
    // Only the full block has parts of a column.
    guard style.unicode && isPaused else {
      return space + style.paint(String(repeating: fill, count: cells), color)
    }
    let ends = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
    return space + style.paint(String(repeating: full, count: length / 8) + ends[length % 8], color)
  }

  /// A line under the bars that names each part and its own scale.
  private func axis(_ scale: TimelineScale) -> [String] {
    var rule = ""
    var legend = ""
    // In one piece the blackout is the one that the VMMs have measured.
    let blackout = scale.parts.count(where: \.isBlackout) == 1 ? handoff.blackoutMicroseconds : nil
    for part in scale.parts {
      let width = part.columns.count
      let last = part == scale.parts.last
      let figure = part.isBlackout ? blackout ?? part.microseconds : part.microseconds
      let short = PlainText.shortDuration(microseconds: figure, unicode: style.unicode)
      var labels = [text(figure), short]
      if part.isBlackout {
        let word = blackout == nil ? (part.kind == .waits ? "waits" : "paused") : "blackout"
        labels = ["\(word) \(text(figure))", "\(word) \(short)"] + labels
      }
      rule += dimension(labels, width: width, isLast: last)
      let (words, word) = Self.legend(part.kind)
      legend += center(words.count <= width - 2 ? words : word, width)
    }
    let indent = String(repeating: " ", count: Self.labelWidth)
    return [indent + style.paint(rule, .faint), indent + style.paint(legend, .faint)]
  }

  private static func legend(_ kind: TimelineScale.Kind) -> (long: String, short: String) {
    switch kind {
    case .runs: ("guest runs", "runs")
    case .paused: ("guest paused", "paused")
    case .waits: ("in custody", "waits")
    }
  }

  /// `├── 312 µs ───` in exactly `width` columns, with the first label that fits; the last part ends with a
  /// corner of its own.
  private func dimension(_ labels: [String], width: Int, isLast: Bool) -> String {
    let (left, dash, right) = style.unicode ? ("├", "─", "┤") : ("|", "-", "|")
    let room = width - 1 - (isLast ? 1 : 0)
    let label = labels.first { $0.count <= room } ?? ""
    let text = label.count + 2 <= room && !label.isEmpty ? " \(label) " : label
    let before = (room - text.count) / 2
    let dashes = { (count: Int) in String(repeating: dash, count: max(0, count)) }
    return left + dashes(before) + text + dashes(room - text.count - before) + (isLast ? right : "")
  }

  private func center(_ text: String, _ width: Int) -> String {
    guard text.count <= width else { return String(repeating: " ", count: width) }
    let before = (width - text.count) / 2
    return PlainText.pad(String(repeating: " ", count: before) + text, to: width)
  }

  private func text(_ microseconds: UInt64) -> String {
    PlainText.duration(microseconds: microseconds, unicode: style.unicode)
  }

  private static func trimmed(_ line: String) -> String {
    var line = line
    while line.last == " " { line.removeLast() }
    return line
  }
}
