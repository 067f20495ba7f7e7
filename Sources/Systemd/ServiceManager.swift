import CSystemd

/// What a service tells the service manager, as in sd_notify(3). Does nothing without `NOTIFY_SOCKET`.
public enum ServiceManager {
  /// The service is up.
  public static func ready(status: String) {
    // SAFETY: the string lives for the call, which copies it.
    _ = unsafe sd_notify(0, "READY=1\nSTATUS=\(status)")
  }

  /// The service is going down.
  public static func stopping() { _ = unsafe sd_notify(0, "STOPPING=1") }
}
