import LinuxOS

/// A successor that was started with `--exec`. It lives on when this program ends.
final class SuccessorProcess {
  private let process: DetachedProcess
  private let program: String

  init(arguments: [String], log: String) throws(SystemError) {
    program = arguments.first ?? ""
    process = try DetachedProcess(arguments: arguments, output: log)
  }

  /// Readable once it has ended.
  var interest: Poller.Interest { Poller.Interest(process.pidfd.descriptor.number) }

  /// What to tell if it has ended: `nil` while it runs, an inner `nil` if it ended with status 0, which a
  /// program that forks does.
  func failureIfEnded() -> String?? {
    do throws(SystemError) {
      switch try process.reap() {
      case nil: return nil
      case .exited(status: 0): return .some(nil)
      case .exited(let status): return "\(program) exited with status \(status)"
      case .signalled(let signal): return "\(program) was ended by signal \(signal)"
      }
    } catch {
      return .some("\(program) cannot be watched: \(error)")
    }
  }
}
