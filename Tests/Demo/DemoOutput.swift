import FoundationEssentials
import Harness
import LinuxOS
import RegistryInterface

/// Where the demo shows things: text for people, or JSON lines.
struct DemoOutput {
  let isJSON: Bool
  let width: Int
  let style: PictureStyle

  init(isJSON: Bool, width: Int, color: Bool) {
    self.isJSON = isJSON
    self.width = max(40, width)
    style = PictureStyle(unicode: true, color: color)
  }

  // MARK: Text

  func line(_ text: String = "") {
    if !isJSON { StandardStream.output.write(text + "\n") }
  }

  func heading(_ text: String) {
    line()
    line(style.paint(text, .strong))
  }

  /// A name and what is to be said about it, wrapped under itself.
  func fact(_ name: String, _ text: String, _ verdict: Bool? = nil) {
    let mark =
      switch verdict {
      case nil: " "
      case true?: style.paint("✓", .good)
      case false?: style.paint("✗", .bad)
      }
    let label = name + String(repeating: " ", count: max(0, 16 - name.count))
    for (index, piece) in wrap(text, width - 21).enumerated() {
      line(
        index == 0
          ? "  \(mark) \(style.paint(label, .faint)) \(piece)" : String(repeating: " ", count: 21) + piece)
    }
  }

  /// Text under a fact.
  func quotation(_ text: String) {
    for piece in wrap(text, width - 8) { line("      " + style.paint(piece, .faint)) }
  }

  func failure(_ text: String) {
    if isJSON { emit(Line(kind: "failure", sentence: text)) }
    StandardStream.error.write("baton-demo: \(text)\n")
  }

  private func wrap(_ text: String, _ width: Int) -> [String] {
    var lines: [String] = []
    var current = ""
    for word in text.split(separator: " ") {
      if !current.isEmpty, current.count + 1 + word.count > max(20, width) {
        lines.append(current)
        current = ""
      }
      current += (current.isEmpty ? "" : " ") + word
    }
    return lines + [current]
  }

  // MARK: JSON

  /// One JSON line; only what is known is in it.
  struct Line: Encodable {
    var kind: String
    var name: String?
    var sentence: String?
    var how: String?
    var skipped: Bool?
    var asExpected: Bool?
    var vcpus: String?
    var memoryBytes: UInt64?
    var handoff: RegistryInterface.Handoff?
    var verdict: GuestVerdict?
    var consoleLines: UInt64?
    var consoleGapless: Bool?
    var lockAttempts: UInt64?
    var lockSuccesses: UInt64?
    var processes: Int?
    var handoffs: Int?
    var blackoutMicroseconds: [UInt64]?
    var good: Bool?
  }

  func emit(_ line: Line) {
    guard isJSON else { return }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(line) else { return }
    StandardStream.output.write(String(decoding: data, as: UTF8.self) + "\n")
  }
}
