import LinuxOS
import RegistryInterface

/// The progress of a migration on standard error: one line that is drawn over itself on a terminal, else a line now
/// and then.
struct MigrationDisplay {
  private let printer: Printer
  private let line: MigrationProgressLine
  private var isDrawn = false
  private var lastWords = ""
  private var lastTime: UInt64 = 0

  /// Without a terminal a round that lasts is told of so often.
  private static let interval: UInt64 = 10_000_000_000

  init(guest: String, host: String, printer: Printer) {
    self.printer = printer
    line = MigrationProgressLine(guest: guest, host: host, style: printer.style)
  }

  /// Shows how it stands.
  mutating func show(_ migration: Migration) {
    guard !printer.quiet else { return }
    if printer.progressIsTerminal {
      // Room for the ^C that the terminal echoes: a line that wraps cannot be drawn over.
      let width = (Terminal.columns(2) ?? 80) - 3
      StandardStream.error.write("\r\u{1B}[K" + line.drawn(migration, width: width))
      isDrawn = true
      return
    }
    let now = MonotonicClock.now()
    guard migration.words != lastWords || now &- lastTime >= Self.interval else { return }
    // Rounds get shorter and shorter, and a log needs none of the short ones.
    if migration.phase == .copying, lastWords.hasPrefix("round"), now &- lastTime < 1_000_000_000 { return }
    lastWords = migration.words
    lastTime = now
    printer.note(line.line(migration))
  }

  /// Shows something that stays.
  mutating func note(_ text: String) {
    guard !printer.quiet else { return }
    clear()
    printer.note(PlainText.clean(text))
  }

  /// Removes what is drawn over itself.
  mutating func clear() {
    guard isDrawn else { return }
    StandardStream.error.write("\r\u{1B}[K")
    isDrawn = false
  }
}
