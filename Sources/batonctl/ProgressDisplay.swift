import LinuxOS
import RegistryInterface

/// Progress on standard error: one line that is drawn over itself on a terminal, else lines. One guest is told
/// step by step, of several only their ends.
struct ProgressDisplay {
  private let printer: Printer
  private let total: Int
  private var done = 0
  private var failed = 0
  private var current: [(guest: String, words: String)] = []
  private var isDrawn = false

  init(printer: Printer, total: Int) {
    self.printer = printer
    self.total = total
  }

  /// Shows a step.
  mutating func show(_ reply: UpgradeReply) {
    guard !printer.quiet else { return }
    guard printer.progressIsTerminal else {
      if total == 1, let line = Self.line(reply, printer) { printer.note(line) }
      return
    }
    set(
      reply.guest.name,
      reply.phase?.name.rawValue ?? (reply.step == .recorded ? "recorded" : reply.guest.state.words))
  }

  /// Shows what a successor's unit says about itself.
  mutating func show(_ guest: String, unitSays text: String) {
    guard !printer.quiet else { return }
    if printer.progressIsTerminal {
      set(guest, text)
    } else if total == 1 {
      printer.note(PlainText.clean("\(guest): \(text)"))
    }
  }

  /// Shows something that stays.
  mutating func note(_ text: String) {
    guard !printer.quiet else { return }
    clear()
    printer.note(PlainText.clean(text))
    draw()
  }

  /// Forgets a guest; tells its end if it is one of several.
  mutating func ended(_ end: UpgradeEnd) {
    done += 1
    if end.failure != nil { failed += 1 }
    current.removeAll { $0.guest == end.guest }
    clear()
    guard !printer.quiet, !printer.json, total > 1, end.failure == nil, let handoff = end.handoff else {
      return
    }
    let blackout = handoff.blackoutMicroseconds.map { ", blackout \(printer.duration($0))" } ?? ""
    printer.note(
      PlainText.clean(
        "[\(done)/\(total)] \(end.guest): handoff \(handoff.number) \(handoff.outcome.words)\(blackout)"))
  }

  /// Removes what is drawn over itself.
  mutating func clear() {
    guard isDrawn else { return }
    StandardStream.error.write("\r\u{1B}[K")
    isDrawn = false
  }

  private mutating func set(_ guest: String, _ words: String) {
    if let index = current.firstIndex(where: { $0.guest == guest }) {
      current[index].words = words
    } else {
      current.append((guest, words))
    }
    draw()
  }

  private mutating func draw() {
    guard printer.progressIsTerminal, !current.isEmpty else { return }
    let width = (Terminal.columns(2) ?? 80) - 1
    let count = failed == 0 ? "[\(done)/\(total)] " : "[\(done)/\(total), \(failed) failed] "
    let text = count + current.map { "\($0.guest) \($0.words)" }.joined(separator: ", ")
    StandardStream.error.write("\r\u{1B}[K" + PlainText.clean(String(text.prefix(width))))
    isDrawn = true
  }

  private static func line(_ reply: UpgradeReply, _ printer: Printer) -> String? {
    let prefix = "\(PlainText.clean(reply.guest.name)): handoff \(reply.number)"
    switch reply.step {
    case .recorded: return "\(prefix) recorded"
    case .phaseStarted: return nil
    case .phaseEnded:
      guard let phase = reply.phase, let took = phase.durationMicroseconds else { return nil }
      return "\(prefix): \(phase.name.rawValue) took \(printer.duration(took))"
    case .finished:
      guard let handoff = reply.handoff else { return nil }
      let blackout = handoff.blackoutMicroseconds.map { ", blackout \(printer.duration($0))" } ?? ""
      return "\(prefix) \(handoff.outcome.words)\(blackout)"
    }
  }
}
