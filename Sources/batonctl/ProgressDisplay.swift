import LinuxOS
import RegistryInterface

/// Progress on standard error: one line that is drawn over itself on a terminal, else a line for each step.
struct ProgressDisplay {
  private let printer: Printer
  private let total: Int
  private var done = 0
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
      if let line = Self.line(reply, printer) { printer.note(line) }
      return
    }
    let words = reply.phase?.name.rawValue ?? (reply.step == .recorded ? "recorded" : reply.guest.state.words)
    if let index = current.firstIndex(where: { $0.guest == reply.guest.name }) {
      current[index].words = words
    } else {
      current.append((reply.guest.name, words))
    }
    draw()
  }

  /// Shows something that stays.
  mutating func note(_ text: String) {
    guard !printer.quiet else { return }
    clear()
    printer.note(PlainText.clean(text))
  }

  /// Forgets a guest.
  mutating func ended(_ guest: String) {
    done += 1
    current.removeAll { $0.guest == guest }
  }

  /// Removes what is drawn over itself.
  mutating func clear() {
    guard isDrawn else { return }
    StandardStream.error.write("\r\u{1B}[K")
    isDrawn = false
  }

  private mutating func draw() {
    let width = (Terminal.columns(2) ?? 80) - 1
    let text = "[\(done)/\(total)] " + current.map { "\($0.guest) \($0.words)" }.joined(separator: ", ")
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
