import LinuxOS

/// The unit of which this process is the main process, when a service manager started it for one.
public enum OwnUnit {
  /// Its name, such as `baton-vmm-a@vm1.service`; nil when this process was started in another way, from a shell
  /// within some unit for example, or by a user's own manager, of which the system bus knows nothing.
  ///
  /// The manager names the process that it started in `$SYSTEMD_EXEC_PID` (systemd.exec(5)).
  public static func name() -> String? {
    guard ThisProcess.environment("SYSTEMD_EXEC_PID") == "\(ThisProcess.pid)",
      ThisProcess.environment("MANAGERPID") == nil
    else { return nil }
    return ServiceUnit.of(pid: ThisProcess.pid)
  }
}
