import Harness
import LinuxOS

/// systemctl(1), as an operator calls it.
struct Systemctl {
  let workspace: Workspace

  /// Starts, stops or restarts units, and waits until that is done.
  ///
  /// - Throws: ``BenchError`` with what the units' journal has when it failed.
  func run(_ verb: String, _ units: String...) throws {
    do {
      try call("systemctl", ["--quiet", verb] + units)
    } catch {
      let journal = try call("journalctl", ["-q", "-n", "20", "-o", "cat"] + units.flatMap { ["-u", $0] })
      throw BenchError("\(error); the journal: \(journal)")
    }
  }

  /// One of a unit's timestamps, such as `InactiveEnterTimestampMonotonic`: `CLOCK_MONOTONIC`, nanoseconds.
  func timestamp(_ name: String, of unit: String) throws -> UInt64 {
    let text = try call("systemctl", ["show", "-P", name, unit])
    guard let microseconds = UInt64(text.prefix { $0 != "\n" }) else {
      throw BenchError("\(name) of \(unit) is no number: \(text)")
    }
    return microseconds * 1000
  }

  /// What a program wrote, which must end well.
  @discardableResult
  private func call(_ program: String, _ arguments: [String]) throws -> String {
    let output = workspace.path("\(program).out")
    let log = workspace.path("\(program).log")
    try Files.remove(output)
    try Files.remove(log)
    let process = try RunningProgram("/usr/bin/\(program)", arguments, output: output, log: log)
    try process.waitForSuccess(seconds: 300)
    return try TextFile.read(output)
  }
}
