import ArgumentParser
import RegistryInterface

struct ShowCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Show a guest, its handoffs, and the timeline of one of them.")

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guest's name.")
  var guest: String

  @Option(help: ArgumentHelp("Draw this handoff instead of the latest.", valueName: "number"))
  var handoff: UInt64?

  func run() throws {
    try global.run("show", guest: guest) { () throws(CommandFailure) in
      let reply: DescribeReply = try global.ask(.describe, DescribeRequest(guest: guest, handoff: handoff))
      let printer = global.printer
      if printer.json {
        printer.write(json: reply)
        return .success
      }
      if handoff == nil {
        printer.write(facts(reply.guest, printer))
        if !reply.handoffs.isEmpty { printer.write([""] + table(reply.handoffs, printer) + [""]) }
      }
      if let last = reply.handoffs.last {
        printer.write(TimelinePicture(last, style: printer.style).lines(width: printer.width))
      }
      return .success
    }
  }

  private func facts(_ guest: Guest, _ printer: Printer) -> [String] {
    let style = printer.style
    var lines = [
      "\(style.paint(PlainText.clean(guest.name), .strong)): "
        + "\(style.paint(guest.state.words, GuestTable.color(guest))), way \(guest.way.rawValue), "
        + "epoch \(guest.epoch), \(PlainText.size(bytes: guest.memoryBytes))"
        + (guest.vcpuCount.map { ", \($0) vCPUs" } ?? "")
    ]
    if let owner = guest.owner {
      var line = "owner pid \(owner.processId), uid \(owner.userId)"
      if let build = owner.buildId { line += ", build \(PlainText.build(build))" }
      if let unit = owner.unit { line += ", \(PlainText.clean(unit))" }
      let room = printer.tableWidth.map { max(20, $0 - 4) } ?? .max
      lines += TextTable.wrap(line, room).enumerated().map { ($0 == 0 ? "  " : "    ") + $1 }
    }
    if let since = guest.waitingSinceRealtimeMicroseconds {
      lines.append("  waits paused in custody since \(Printer.time(since))")
    }
    if let sentence = guest.endSentence {
      let time = guest.endedRealtimeMicroseconds.map { ", \(Printer.time($0))" } ?? ""
      lines.append("  \(PlainText.clean(sentence))\(time)")
    }
    if let migration = guest.migration { lines += Self.migration(migration, printer) }
    for barred in guest.barredSlots ?? [] {
      lines.append(
        style.paint(
          "  slot \(barred.slot.rawValue) is refused: \(PlainText.clean(barred.sentence)), "
            + "since \(Printer.time(barred.sinceRealtimeMicroseconds))", .notable))
    }
    if let alarm = guest.alarm { lines += GuestTable.alarmLines(guest.name, alarm, printer) }
    return lines
  }

  /// The migration under way, or the last one.
  static func migration(_ migration: Migration, _ printer: Printer) -> [String] {
    let kind = migration.planOnly ? "plan of a migration" : "migration"
    let end = migration.outcome == .inProgress ? migration.words : migration.outcome.words
    var line =
      "\(kind) \(migration.direction): \(end), began \(Printer.time(migration.startedRealtimeMicroseconds))"
    if let progress = migration.progress, migration.outcome == .migrated {
      line += ", took \(MigrationText.rough(milliseconds: progress.elapsedMilliseconds))"
      line += ", pause \(printer.duration(progress.pauseMicroseconds))"
    }
    if let refusal = migration.refusal, migration.outcome != .planned {
      line += "; \(refusal.name): \(MigrationEnd.cause(of: refusal))"
    }
    let room = printer.tableWidth.map { max(20, $0 - 4) } ?? .max
    return TextTable.wrap(PlainText.clean(line), room).enumerated().map { ($0 == 0 ? "  " : "    ") + $1 }
  }

  private func table(_ handoffs: [Handoff], _ printer: Printer) -> [String] {
    var table = TextTable([
      .init("HANDOFF", numeric: true), .init("BEGAN"), .init("EPOCHS"), .init("TOOK", numeric: true),
      .init("BLACKOUT", numeric: true), .init("END"),
    ])
    for handoff in handoffs {
      table.append([
        .init("\(handoff.number)"),
        .init(String(Printer.time(handoff.startedRealtimeMicroseconds).prefix(19)) + "Z"),
        .init("\(handoff.epochBefore)" + (handoff.epochAfter.map { " to \($0)" } ?? "")),
        .init(printer.duration(handoff.durationMicroseconds)),
        .init(handoff.blackoutMicroseconds.map(printer.duration) ?? "-"),
        .init(
          (handoff.parked == true ? "in place, " : "") + handoff.outcome.words
            + (handoff.refusal.map { ": \($0.name)" } ?? "")),
      ])
    }
    return table.lines(width: printer.tableWidth, style: printer.style)
  }
}
