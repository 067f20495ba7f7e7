import LinuxOS

/// What people see while they wait.
enum Progress {
  /// One line on stderr.
  static func say(_ line: String) { StandardStream.error.write("bench: \(line)\n") }
}
