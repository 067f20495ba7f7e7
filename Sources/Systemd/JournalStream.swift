import Glibc
import LinuxOS

/// Plain lines on standard error with a priority that the journal understands, as in sd-daemon(3).
///
/// A line that came over the stream stays with its unit when the process ends right after it, which an entry sent to
/// the journal's socket does not.
public enum JournalStream {
  /// Whether standard error is connected to the journal: `$JOURNAL_STREAM` names its device and inode
  /// (systemd.exec(5)).
  public static let isStandardError: Bool = {
    guard let stream = ThisProcess.environment("JOURNAL_STREAM") else { return false }
    var status = stat()
    // SAFETY: the structure lives for the call.
    guard unsafe fstat(2, &status) == 0 else { return false }
    return stream == "\(status.st_dev):\(status.st_ino)"
  }()

  /// A text as it is written there: each line with its priority, without one when nobody reads priorities.
  public static func lines(_ level: ServiceLog.Level, _ text: String, isJournal: Bool = isStandardError)
    -> String
  {
    guard isJournal else { return text + "\n" }
    return text.split(separator: "\n").map { "<\(level.rawValue)>\($0)\n" }.joined()
  }
}
