import Glibc
import LinuxOS

/// The stream for people who run the program.
enum StandardError {
  /// Writes one line. What cannot be written is dropped.
  static func print(_ line: String) {
    let descriptor = OwnedDescriptor(adopting: STDERR_FILENO)
    _ = try? descriptor.write(Array((line + "\n").utf8))
    // The stream stays open.
    _ = descriptor.release()
  }
}

/// The signals that end the program.
enum TerminationSignal {
  static let terminate = SIGTERM
  static let interrupt = SIGINT
}
