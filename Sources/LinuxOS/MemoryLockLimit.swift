import CLinux

extension ThisProcess {
  /// How many bytes this process may lock or pin: the soft `RLIMIT_MEMLOCK`; the largest number without a
  /// limit or with CAP_IPC_LOCK (setrlimit(2), capabilities(7)).
  public static var lockableByteCount: UInt64 {
    let (bytes, overflow) = sev_lockable_pages().multipliedReportingOverflow(by: 4_096)
    return overflow ? .max : bytes
  }
}
