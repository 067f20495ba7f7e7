import ArgumentParser
import LinuxOS
import RegistryInterface
import Varlink

struct WatchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "watch", abstract: "Follow what happens to one guest or all.",
    discussion: "Ends when the registry stops, or with status 0 after --timeout.")

  @OptionGroup var global: GlobalOptions

  @Argument(help: "The guest's name. All guests if absent.")
  var guest: String?

  func run() throws {
    try global.run("watch", guest: guest) { () throws(CommandFailure) in
      let printer = global.printer
      let connection = try global.connect()
      try connection.call(.watch, WatchRequest(guest: guest), mode: .more)
      let deadline = global.timeoutNanoseconds.map { MonotonicClock.now() &+ $0 }
      while let reply = try connection.waitForReply(deadline: deadline) {
        let event: WatchEvent = try RegistryConnection.decode(reply)
        if printer.json {
          printer.write(json: event)
        } else {
          printer.write(EventText(event: event, printer: printer).lines)
        }
        if !reply.continues { return .success }
      }
      return .success
    }
  }
}

/// An event as lines for people.
struct EventText {
  let event: WatchEvent
  let printer: Printer

  var lines: [String] {
    switch event.kind {
    case .snapshot: return GuestTable(guests: event.guests ?? [], printer: printer).lines + [""]
    case .guestAppeared: return [prefix + "appeared, \(state)"]
    case .guestChanged: return [prefix + state]
    case .guestGone: return [prefix + "gone"]
    case .handoffStarted: return [prefix + "\(handoff) began"]
    case .phaseStarted: return [prefix + "\(handoff): \(phase) began"]
    case .phaseEnded: return [prefix + "\(handoff): \(phase) took \(took)"]
    case .handoffEnded:
      let picture = event.handoff.map {
        TimelinePicture($0, style: printer.style).lines(width: printer.width)
      }
      return [prefix + "\(handoff) ended"] + (picture ?? [])
    case .alarmRaised:
      guard let guest = event.guest, let alarm = guest.alarm else { return [prefix + "alarm"] }
      return [prefix + "alarm"] + GuestTable.alarmLines(guest.name, alarm, printer)
    case .alarmCleared: return [prefix + "alarm settled"]
    case .migrationStarted: return [prefix + "\(migration) began"]
    case .migrationProgress:
      guard let migration = event.migration else { return [] }
      let line = MigrationProgressLine(guest: name, host: migration.peer, style: printer.style)
      return [Printer.time(event.realtimeMicroseconds) + " " + line.line(migration)]
    case .migrationEnded:
      let refusal = event.migration?.refusal.map { ": \(PlainText.clean($0.name))" } ?? ""
      return [prefix + "\(migration) ended, \(event.migration?.outcome.words ?? "-")\(refusal)"]
    }
  }

  private var name: String { PlainText.clean(event.guest?.name ?? event.handoff?.guest ?? "-") }

  private var prefix: String { "\(Printer.time(event.realtimeMicroseconds)) \(name): " }

  private var migration: String {
    guard let migration = event.migration else { return "migration" }
    return PlainText.clean(
      "\(migration.planOnly ? "plan of a migration" : "migration") \(migration.direction)")
  }

  private var state: String { event.guest?.state.words ?? "-" }
  private var handoff: String { event.handoff.map { "handoff \($0.number)" } ?? "handoff" }
  private var phase: String { event.phase?.name.rawValue ?? "phase" }
  private var took: String {
    event.phase?.durationMicroseconds.map { printer.duration($0) } ?? "-"
  }
}
