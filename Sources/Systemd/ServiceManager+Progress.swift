/// What a service tells while it comes and goes. A manager that does not listen changes nothing.
extension ServiceManager {
  /// The service cannot do what it was started for, and why.
  ///
  /// - Parameter code: The `errno` behind it, which `systemctl status` shows; nil without one.
  public static func failed(status: String, code: Int32?) {
    say("STATUS=\(singleLine(status))" + (code.map { "\nERRNO=\($0)" } ?? ""))
  }

  /// The service is going down by itself.
  public static func stopping(status: String) { say("STOPPING=1\nSTATUS=\(singleLine(status))") }

  /// Starting, or stopping, takes this much longer, from now on: before the time is over this is to be called again,
  /// or the job is to be done (`EXTEND_TIMEOUT_USEC`).
  public static func extendTimeout(nanoseconds: UInt64) { say("EXTEND_TIMEOUT_USEC=\(nanoseconds / 1000)") }

  /// A status is one line.
  static func singleLine(_ text: String) -> String {
    String(text.map { $0.isNewline ? " " : $0 })
  }

  private static func say(_ state: String) {
    // There is nobody else to tell.
    _ = try? notify(state, descriptors: [])
  }
}
