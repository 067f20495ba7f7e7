/// Maps moments of a handoff to columns of a picture.
///
/// The picture has up to three parts: the guest runs at the source, the guest stands still, the guest runs at
/// its new place. Each part has a scale of its own, so that a preparation of 30 seconds does not hide a
/// blackout of 300 microseconds. Of a guest that was parked the middle one is three: it is stopped, it waits in
/// custody for a successor, be it for hours, and it is started.
struct TimelineScale {
  /// What the guest does in a part.
  enum Kind: Equatable { case runs, paused, waits }

  /// One part of the picture.
  struct Part: Equatable {
    let kind: Kind
    /// Moments, in microseconds from the beginning of the handoff.
    let start: UInt64
    let end: UInt64
    /// Columns, counted from 0.
    let columns: Range<Int>

    var microseconds: UInt64 { end - start }
    var isBlackout: Bool { kind != .runs }
  }

  let parts: [Part]

  /// Divides `width` columns.
  init(_ handoff: Handoff, width: Int) {
    let end = Self.end(of: handoff)
    let standing = handoff.phases.filter { $0.name.isBlackout }
    guard let from = standing.map(\.startMicroseconds).min() else {
      parts = [Part(kind: .runs, start: 0, end: end, columns: 0..<width)]
      return
    }
    let to = min(end, max(from, Self.standstillEnd(of: handoff, from: from, standing, end)))
    var spans: [(kind: Kind, start: UInt64, end: UInt64, weight: Int)] = []
    if from > 0 { spans.append((.runs, 0, from, 30)) }
    spans += Self.standstill(of: handoff, from: from, to: to)
    if end > to { spans.append((.runs, to, end, 20)) }
    let weights = spans.reduce(0) { $0 + $1.weight }
    var column = 0
    var parts: [Part] = []
    for (index, span) in spans.enumerated() {
      let share = index == spans.count - 1 ? width - column : width * span.weight / weights
      parts.append(
        Part(
          kind: span.kind, start: span.start, end: span.end,
          columns: column..<(column + share)))
      column += share
    }
    self.parts = parts
  }

  /// The blackout, in three when the guest waited for a successor meanwhile.
  private static func standstill(
    of handoff: Handoff, from: UInt64, to: UInt64
  ) -> [(kind: Kind, start: UInt64, end: UInt64, weight: Int)] {
    let waits = handoff.phases.filter { $0.name == .attach && $0.startMicroseconds >= from }
    guard let first = waits.map(\.startMicroseconds).min(), first < to,
      let last = waits.map({ end(of: $0, in: handoff) }).max(), last > first
    else { return [(.paused, from, to, 50)] }
    let until = min(last, to)
    return [(Kind.paused, from, first, 20), (.waits, first, until, 24), (.paused, until, to, 30)].filter {
      $0.2 > $0.1
    }
  }

  /// Whether the guest stands still in a phase: those of the blackout, and what comes between them.
  func isPaused(in phase: Phase) -> Bool {
    guard phase.name != .release else { return false }
    return phase.name.isBlackout
      || parts.contains {
        $0.isBlackout && $0.start <= phase.startMicroseconds && phase.startMicroseconds < $0.end
      }
  }

  /// When the guest ran again; the end of the picture if it does not.
  private static func standstillEnd(
    of handoff: Handoff, from: UInt64, _ standing: [Phase], _ end: UInt64
  ) -> UInt64 {
    let phasesEnd = standing.map { Self.end(of: $0, in: handoff) }.max() ?? end
    switch handoff.outcome {
    case .committed: return phasesEnd
    case .takenBack, .aborted:
      // Taking back is no phase of its own, so the guest's own figure tells when it ran again.
      let (resumed, overflow) = from.addingReportingOverflow(handoff.blackoutMicroseconds ?? 0)
      return overflow ? end : max(phasesEnd, resumed)
    case .lost, .ended: return end
    case .inProgress:
      let runs = standing.contains { $0.name == .run && $0.durationMicroseconds != nil }
      return runs ? phasesEnd : end
    }
  }

  /// The columns of a phase, in eighths of a column: never empty, always within the picture.
  func eighths(of phase: Phase, in handoff: Handoff) -> Range<Int> {
    let start = eighth(of: phase.startMicroseconds, roundedUp: false)
    let end = eighth(of: Self.end(of: phase, in: handoff), roundedUp: true)
    let width = (parts.last?.columns.upperBound ?? 0) * 8
    let from = min(start, width - 8)
    return from..<min(width, max(end, from + 4))
  }

  /// When a phase ended, or the present end of the handoff while it lasts.
  static func end(of phase: Phase, in handoff: Handoff) -> UInt64 {
    guard let duration = phase.durationMicroseconds else { return end(of: handoff) }
    return phase.startMicroseconds &+ min(duration, .max - phase.startMicroseconds)
  }

  /// The end of everything that the handoff tells.
  static func end(of handoff: Handoff) -> UInt64 {
    handoff.phases.reduce(handoff.durationMicroseconds) { latest, phase in
      let (end, overflow) = phase.startMicroseconds.addingReportingOverflow(phase.durationMicroseconds ?? 0)
      return max(latest, overflow ? .max : end)
    }
  }

  private func eighth(of moment: UInt64, roundedUp: Bool) -> Int {
    for part in parts where moment < part.end || part == parts.last || (roundedUp && moment == part.end) {
      guard part.microseconds > 0 else { return part.columns.lowerBound * 8 }
      let inside = min(moment, part.end) - min(part.start, moment)
      let exact = Double(inside) / Double(part.microseconds) * Double(part.columns.count * 8)
      return part.columns.lowerBound * 8 + Int(exact.rounded())
    }
    return 0
  }
}
