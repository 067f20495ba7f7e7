import CLinux

/// A child that outlives its parent: own session, no terminal, no inherited descriptor.
public struct DetachedProcess: ~Copyable {
  /// How a child ended.
  public enum End: Hashable, Sendable {
    /// It returned this status.
    case exited(status: Int32)
    /// This signal ended it.
    case signalled(Int32)
  }

  /// The child's number. Valid until ``reap()`` has returned its end.
  public let processId: Int32
  /// Readable once the child has ended.
  public let pidfd: Pidfd

  /// Starts a program.
  ///
  /// - Parameters:
  ///   - arguments: The program (looked up in `PATH`) and its arguments. None may contain a zero byte.
  ///   - output: The file that standard output and error are appended to, made with mode 0600.
  /// - Throws: What exec said, `ENOENT` and the like, with the program's name, or `EINVAL` for no program or
  ///   a zero byte. An error of `pidfd_open` means that the child runs but cannot be watched.
  ///
  /// The corresponding C function is `posix_spawnp` with `POSIX_SPAWN_SETSID`.
  public init(arguments: [String], output: String = "/dev/null") throws(SystemError) {
    let program = arguments.first ?? ""
    guard !program.isEmpty, !(arguments + [output]).contains(where: { $0.utf8.contains(0) }) else {
      throw SystemError(.posixSpawn, code: 22, subject: program)
    }
    let list = CStringList(arguments)
    let pid = try checked(.posixSpawn, on: program) {
      // SAFETY: the list lives until the call returns, when the child has its own copy.
      unsafe Int(clinux_spawn_detached(list.pointers, output))
    }
    withExtendedLifetime(list) {}
    // The child is not reaped yet, so its number cannot mean another process.
    let pidfd = try Pidfd(pid: Int32(pid))
    self.processId = Int32(pid)
    self.pidfd = pidfd
  }

  /// How the child ended, or `nil` while it runs. Once it has returned an end, further calls fail.
  public borrowing func reap() throws(SystemError) -> End? {
    var status: Int32 = 0
    var signal: Int32 = 0
    let pid = processId
    // SAFETY: both pointers are valid for the call.
    let ended = try checked(.posixSpawn) { unsafe Int(clinux_reap(pid, &status, &signal)) }
    if ended == 0 { return nil }
    return signal == 0 ? .exited(status: status) : .signalled(signal)
  }
}
