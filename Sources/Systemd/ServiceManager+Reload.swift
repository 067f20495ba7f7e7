import LinuxOS

extension ServiceManager {
  /// The service reads its settings again; ``ready(status:)`` says that it has done so.
  ///
  /// The moment is for units of `Type=notify-reload`; others pass over it.
  public static func reloading() {
    // There is nobody else to tell.
    _ = try? notify("RELOADING=1\nMONOTONIC_USEC=\(MonotonicClock.now() / 1000)", descriptors: [])
  }
}
