import CSystemd
import Glibc
import LinuxOS

/// Where a service says what happens: the journal when standard error is connected to it, plain lines
/// on standard error otherwise.
public final class ServiceLog {
  /// Levels of syslog(3).
  public enum Level: Int, Sendable, Comparable {
    case error = 3
    case warning = 4
    case notice = 5
    case info = 6
    case debug = 7

    public static func < (a: Level, b: Level) -> Bool { a.rawValue < b.rawValue }

    var word: String {
      switch self {
      case .error: "error"
      case .warning: "warning"
      case .notice: "notice"
      case .info: "info"
      case .debug: "debug"
      }
    }
  }

  private let program: String
  private let isJournal: Bool
  private let threshold: Level
  /// Lines that were dropped because nobody reads standard error.
  public private(set) var droppedLines: UInt64 = 0

  /// - Parameter threshold: The least urgent level that is said.
  public init(program: String, threshold: Level = .info) {
    self.program = program
    self.threshold = threshold
    isJournal = Self.standardErrorIsJournal()
  }

  /// Says one thing.
  ///
  /// - Parameters:
  ///   - messageID: 32 hexadecimal digits that name the kind of event (`MESSAGE_ID`).
  ///   - fields: Further journal fields, their names in upper case.
  public func write(
    _ level: Level, _ message: String, messageID: String? = nil, fields: [(String, String)] = []
  ) {
    guard level <= threshold else { return }
    if isJournal {
      var lines = ["MESSAGE=\(message)", "PRIORITY=\(level.rawValue)", "SYSLOG_IDENTIFIER=\(program)"]
      if let messageID { lines.append("MESSAGE_ID=\(messageID)") }
      for (name, value) in fields { lines.append("\(name)=\(value)") }
      sendToJournal(lines)
    } else {
      var line = "\(program): \(level.word): \(message)"
      for (name, value) in fields { line += " \(name)=\(value)" }
      writeLine(line)
    }
  }

  /// Writes one line on standard error; dropped when nobody reads there, so that the service never waits.
  private func writeLine(_ line: String) {
    var bytes = Array(line.utf8.prefix(4000))
    bytes.append(UInt8(ascii: "\n"))
    var interests = [Poller.Interest(2, readable: false, writable: true)]
    guard let ready = try? Poller.wait(&interests, timeoutNanoseconds: 0), ready > 0 else {
      droppedLines += 1
      return
    }
    // SAFETY: the buffer lives for the call. A short write of a log line is not repeated.
    let written = unsafe bytes.withUnsafeBytes { unsafe Glibc.write(2, $0.baseAddress, $0.count) }
    if written < 0 { droppedLines += 1 }
  }

  private func sendToJournal(_ lines: [String]) {
    var storage: [UInt8] = []
    var ranges: [Range<Int>] = []
    for line in lines {
      let start = storage.count
      storage.append(contentsOf: line.utf8)
      ranges.append(start..<storage.count)
    }
    // SAFETY: the vectors point into `storage`, which lives and does not move during the call.
    unsafe storage.withUnsafeMutableBytes { bytes in
      guard let base = bytes.baseAddress else { return }
      let vectors = unsafe ranges.map { unsafe iovec(iov_base: base + $0.lowerBound, iov_len: $0.count) }
      _ = unsafe sd_journal_sendv(vectors, Int32(vectors.count))
    }
  }

  /// Whether `$JOURNAL_STREAM` names the device and inode of standard error (systemd.exec(5)).
  private static func standardErrorIsJournal() -> Bool {
    guard let stream = ThisProcess.environment("JOURNAL_STREAM") else { return false }
    var status = stat()
    guard unsafe fstat(2, &status) == 0 else { return false }
    return stream == "\(status.st_dev):\(status.st_ino)"
  }
}
