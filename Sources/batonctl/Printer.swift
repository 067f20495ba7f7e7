import FoundationEssentials
import LinuxOS
import RegistryInterface
import Varlink

/// Writes results to standard output, and errors and progress to standard error, as the streams and the locale
/// allow.
struct Printer {
  let json: Bool
  let quiet: Bool
  /// How text on standard output is drawn.
  let style: PictureStyle
  /// Columns of standard output.
  let width: Int
  /// Columns to wrap tables at; `nil` where no terminal shows them.
  let tableWidth: Int?
  /// Whether progress may be drawn over itself.
  let progressIsTerminal: Bool

  init(json: Bool, quiet: Bool) {
    self.json = json
    self.quiet = quiet
    let environment = ProcessInfo.processInfo.environment
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
    let charset = (locale ?? "").lowercased()
    let isTerminal = Terminal.isTerminal(1)
    let mayColor = (environment["NO_COLOR"] ?? "").isEmpty && environment["TERM"] != "dumb"
    style = PictureStyle(
      unicode: charset.contains("utf-8") || charset.contains("utf8"), color: isTerminal && mayColor)
    let columns = Terminal.columns(1) ?? environment["COLUMNS"].flatMap { Int($0) }
    width = columns ?? 80
    tableWidth = isTerminal ? columns : nil
    progressIsTerminal = Terminal.isTerminal(2) && environment["TERM"] != "dumb"
  }

  /// Writes lines to standard output.
  func write(_ lines: [String]) {
    guard !lines.isEmpty else { return }
    StandardStream.output.write(lines.joined(separator: "\n") + "\n")
  }

  /// Writes a value as one line of JSON to standard output.
  func write(json value: some Encodable) {
    do {
      let bytes = try JSONParameters(encoding: value).bytes
      StandardStream.output.write(String(decoding: bytes, as: UTF8.self) + "\n")
    } catch {
      StandardStream.error.write("batonctl: cannot write a result as JSON: \(error)\n")
    }
  }

  /// Writes one line to standard error.
  func note(_ line: String) {
    StandardStream.error.write("\(line)\n")
  }

  /// The error line of a failure.
  func report(_ failure: CommandFailure, verb: String, guest: String? = nil) {
    note(failure.line(verb: verb, guest: guest))
  }

  /// A duration in the locale's characters.
  func duration(_ microseconds: UInt64) -> String {
    PlainText.duration(microseconds: microseconds, unicode: style.unicode)
  }

  /// A moment in UTC, to the microsecond.
  static func time(_ realtimeMicroseconds: UInt64) -> String {
    let seconds = Date(timeIntervalSince1970: Double(realtimeMicroseconds / 1_000_000))
    let fraction = String(realtimeMicroseconds % 1_000_000)
    let text = seconds.formatted(.iso8601).dropLast()
    return "\(text).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)Z"
  }
}
