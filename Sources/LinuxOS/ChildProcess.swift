import CLinux

/// A child that ends with this process: the kernel kills it when this process is gone, however that came.
///
/// Tests and the demo start their programs this way; what outlives its parent is a ``DetachedProcess``.
public struct ChildProcess: ~Copyable, Sendable {
  /// The child's number. Valid until ``reap()`` has returned its end.
  public let processId: Int32
  /// Readable once the child has ended.
  public let pidfd: Pidfd

  /// Starts a program.
  ///
  /// - Parameters:
  ///   - arguments: The path of the program and its arguments. None may contain a zero byte.
  ///   - environment: Variables that are added to this process's own, or replace them.
  ///   - descriptors: At most 64 borrowed numbers that become the child's 0, 1, 2 and so on; -1 is
  ///     `/dev/null`. It gets no other.
  ///   - user: The user and group it runs as, without other groups; needs root.
  /// - Throws: What exec said, `ENOENT` and the like; `EPERM` without the right to change the user.
  ///
  /// The corresponding C functions are `fork`, `prctl` with `PR_SET_PDEATHSIG`, and `execve`.
  public init(
    arguments: [String], environment: [String: String] = [:], descriptors: [Int32] = [-1, 1, 2],
    user: UInt32? = nil
  ) throws(SystemError) {
    let program = arguments.first ?? ""
    let variables = Self.variables(environment)
    guard !program.isEmpty, !(arguments + variables).contains(where: { $0.utf8.contains(0) }) else {
      throw SystemError(.posixSpawn, code: 22, subject: program)
    }
    let argumentList = CStringList(arguments)
    let variableList = CStringList(variables)
    let pid = try checked(.posixSpawn, on: program) {
      // SAFETY: both lists and the numbers live until the call returns, when the child has its own copies.
      unsafe descriptors.withUnsafeBufferPointer { numbers in
        unsafe Int(
          clinux_spawn_child(
            argumentList.pointers, variableList.pointers, numbers.baseAddress, Int32(numbers.count),
            user ?? .max))
      }
    }
    withExtendedLifetime((argumentList, variableList)) {}
    // The child is not reaped yet, so its number cannot mean another process.
    pidfd = try Pidfd(pid: Int32(pid))
    processId = Int32(pid)
  }

  /// How the child ended, or `nil` while it runs. Once it has returned an end, further calls fail.
  public borrowing func reap() throws(SystemError) -> DetachedProcess.End? {
    var status: Int32 = 0
    var signal: Int32 = 0
    let pid = processId
    // SAFETY: both pointers are valid for the call.
    let ended = try checked(.posixSpawn) { unsafe Int(clinux_reap(pid, &status, &signal)) }
    if ended == 0 { return nil }
    return signal == 0 ? .exited(status: status) : .signalled(signal)
  }

  private static func variables(_ changes: [String: String]) -> [String] {
    var result: [String] = []
    // SAFETY: nothing in this package changes the environment; the list ends with a null pointer.
    var next = unsafe clinux_environment_list()
    while let entry = unsafe next, let text = unsafe entry.pointee {
      let variable = unsafe String(cString: text)
      let name = String(variable.prefix { $0 != "=" })
      if changes[name] == nil { result.append(variable) }
      unsafe next = entry + 1
    }
    return result + changes.map { "\($0.key)=\($0.value)" }.sorted()
  }
}
