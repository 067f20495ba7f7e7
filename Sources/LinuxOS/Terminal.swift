import CLinux
import Glibc

/// What a standard stream is connected to.
public enum Terminal {
  /// Whether standard output (1) or standard error (2) is a terminal.
  public static func isTerminal(_ number: Int32) -> Bool { clinux_is_terminal(number) != 0 }

  /// How many columns the terminal has, or `nil` if it is none or does not tell.
  public static func columns(_ number: Int32) -> Int? {
    let columns = clinux_terminal_columns(number)
    return columns > 0 ? Int(columns) : nil
  }
}

/// Standard output and standard error.
public enum StandardStream: Int32, Sendable {
  case output = 1
  case error = 2

  /// Writes all of a text, waiting as long as it takes. What cannot be written is dropped: there is nobody
  /// to tell.
  ///
  /// A reader of a pipe that is gone ends the process by `SIGPIPE`, as people expect of a filter.
  public func write(_ text: String) {
    var text = text
    text.withUTF8 { bytes in
      var done = 0
      while done < bytes.count {
        // SAFETY: `done` stays within the buffer.
        let count = unsafe clinux_write(
          rawValue, bytes.baseAddress.map { unsafe $0 + done }, bytes.count - done)
        if count == -Int(EINTR) || count == -Int(EAGAIN) { continue }
        if count <= 0 { return }
        done += count
      }
    }
  }
}
