import Systemd

/// What is known about a unit whose start did not succeed.
struct UnitFacts {
  let unit: String
  let end: UnitJob.End
  /// Its `StatusText`, `Result`, `ExecMainCode` and `ExecMainStatus`.
  let status: String
  let result: String
  let exitCode: String
  let exitStatus: String

  /// One clause: what became of the start, what the unit said last, and how its process ended.
  var sentence: String {
    var text = "the start of \(unit) \(end.words)"
    switch exitCode {
    case "1":
      // From 200 on the manager has made it before the program could: a sandbox, a user, a program that is missing.
      let isManagers = Int(exitStatus).map { $0 >= 200 } ?? false
      text +=
        isManagers
        ? " (exit status \(exitStatus), the service manager's own)" : " (exit status \(exitStatus))"
      if !status.isEmpty { text += ": \(status)" }
    case "2", "3":
      // It could not say why any more.
      text += " (signal \(exitStatus))"
      if !status.isEmpty { text += " after it had said '\(status)'" }
    case _:
      if !result.isEmpty && result != "success" { text += " (\(result))" }
      if !status.isEmpty { text += ": \(status)" }
    }
    return text
  }

  var remedy: String { "see journalctl -x -n 20 -u \(unit)" }
}
