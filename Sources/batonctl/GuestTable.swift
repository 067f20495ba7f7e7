import RegistryInterface

/// Guests as a table, and what a person has to settle below it.
struct GuestTable {
  let guests: [Guest]
  let printer: Printer
  /// What is known about the owners' programs, by guest.
  var programs: [String: OwnerProgram] = [:]

  var lines: [String] {
    guard !guests.isEmpty else { return ["no guests"] }
    var table = TextTable([
      .init("GUEST"), .init("STATE"), .init("WAY"), .init("EPOCH", numeric: true), .init("SLOT"),
      .init("PID", numeric: true), .init("MEMORY", numeric: true), .init("BUILD"), .init("HANDOFF"),
    ])
    for guest in guests {
      table.append([
        .init(guest.name, .strong), .init(guest.state.words, Self.color(guest)), .init(guest.way.rawValue),
        .init("\(guest.epoch)"), .init(guest.slot?.rawValue ?? "-"),
        .init(guest.owner.map { "\($0.processId)" } ?? "-"),
        .init(guest.memoryBytes == 0 ? "-" : PlainText.size(bytes: guest.memoryBytes)), build(guest),
        .init(underWay(guest) ?? last(guest)),
      ])
    }
    var lines = table.lines(width: printer.tableWidth, style: printer.style)
    for guest in guests {
      guard let alarm = guest.alarm else { continue }
      lines.append("")
      lines += Self.alarmLines(guest.name, alarm, printer)
    }
    return lines
  }

  /// The command stands alone on its line, so that it can be copied.
  static func alarmLines(_ guest: String, _ alarm: Alarm, _ printer: Printer) -> [String] {
    let sentence = TextTable.wrap(
      PlainText.clean("\(guest): \(alarm.sentence)"), printer.tableWidth.map { max(20, $0 - 6) } ?? .max)
    return sentence.enumerated().map { index, line in
      (index == 0 ? printer.style.paint("alarm", .bad) + " " : "      ") + line
    } + [
      "  since \(Printer.time(alarm.sinceRealtimeMicroseconds)), settle it with:",
      "  \(PlainText.clean(alarm.command))",
    ]
  }

  static func color(_ guest: Guest) -> PictureStyle.Color {
    switch guest.state {
    case .running: guest.alarm == nil ? .good : .bad
    case .preparing: .good
    case .frozen, .staged, .claimed, .takingBack, .departing, .arriving: .notable
    case .waiting, .lost: .bad
    case .departed: guest.alarm == nil ? .faint : .bad
    case .ended: .faint
    }
  }

  private func build(_ guest: Guest) -> TextTable.Cell {
    let program = programs[guest.name]
    let short = program?.buildId.map { String($0.prefix(8)) } ?? OwnerProgram.short(guest.owner?.buildId)
    return program?.isOutdated == true ? .init("\(short) outdated", .notable) : .init(short)
  }

  private func underWay(_ guest: Guest) -> String? {
    guard let handoff = guest.handoff else { return migration(guest) }
    var text = "\(handoff)"
    if let phase = guest.phase { text += " \(phase.rawValue)" }
    if let left = guest.deadlineMicroseconds {
      text += ", \(printer.duration(left.magnitude)) \(left >= 0 ? "left" : "late")"
    }
    return text
  }

  /// A migration that is open; one that is over is told by `show`.
  private func migration(_ guest: Guest) -> String? {
    guard let migration = guest.migration, migration.outcome == .inProgress else { return nil }
    var text = "\(migration.planOnly ? "plan" : "migration") \(migration.direction), \(migration.words)"
    if migration.phase == .copying, let progress = migration.progress {
      text += ", ETA \(MigrationText.rough(milliseconds: progress.expectedMilliseconds))"
    }
    return text
  }

  private func last(_ guest: Guest) -> String {
    if let since = guest.waitingSinceRealtimeMicroseconds, guest.state == .waiting {
      return "waits since \(Printer.time(since).prefix(19))Z"
    }
    if let migration = guest.migration, guest.state == .departed { return "moved to \(migration.peer)" }
    if let sentence = guest.endSentence { return sentence }
    guard let outcome = guest.lastOutcome else { return "-" }
    var text = (guest.lastHandoff.map { "\($0) " } ?? "") + outcome.words
    if let blackout = guest.lastBlackoutMicroseconds { text += ", \(printer.duration(blackout))" }
    return text
  }
}
