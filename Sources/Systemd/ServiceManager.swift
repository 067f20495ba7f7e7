import CSystemd
import Glibc
import LinuxOS

/// What a service tells the service manager, as in sd_notify(3). Does nothing without `NOTIFY_SOCKET`.
public enum ServiceManager {
  /// Whether this process is to tell a service manager about itself.
  public static var isListening: Bool { ThisProcess.environment("NOTIFY_SOCKET") != nil }

  /// The service is up.
  public static func ready(status: String) { notify("READY=1\nSTATUS=\(status)") }

  /// One line for `systemctl status`.
  public static func say(status: String) { notify("STATUS=\(status)") }

  /// The service is going down.
  public static func stopping() { notify("STOPPING=1") }

  private static func notify(_ state: String) {
    // SAFETY: the string lives for the call, which copies it.
    _ = unsafe sd_notify(0, state)
  }

  /// Sends a state with descriptors, of which the manager gets its own.
  ///
  /// - Throws: What the notification socket fails with; `ENOTCONN` without a service manager.
  static func notify(_ state: String, descriptors: [Int32]) throws(SystemError) {
    // SAFETY: string and numbers live for the call, which copies both.
    let result = unsafe sd_pid_notify_with_fds(0, 0, state, descriptors, UInt32(descriptors.count))
    if result < 0 { throw SystemError(.sendmsg, code: -result, subject: "the service manager's socket") }
    if result == 0 { throw SystemError(.sendmsg, code: ENOTCONN, subject: "the service manager's socket") }
  }
}
