import FoundationEssentials
import Harness
import LinuxOS

/// A real systemd with the installed units, in a container, and this program once more in it.
struct UnitContainer {
  let workspace: Workspace

  private static let script = "Tests/Bench/systemd"
  /// The script's exit status where there can be no container.
  private static let isMissing: Int32 = 75

  /// - Parameter options: For the program in the container.
  func measure(_ options: [String]) throws -> Results.Systemd {
    guard (try? Files.open(Self.script, .readOnly)) != nil else {
      return skipped(
        "\(Self.script) is not in this folder; Scripts/bench starts this program in the right one")
    }
    let folder = workspace.path("container")
    try Files.makeDirectory(folder)
    let output = workspace.path("container.out")
    Progress.say("systemd: booting a container; what it does is said in \(folder)/out/log")
    let run = try RunningProgram(
      Self.script, [workspace.programs, folder] + options, output: output,
      log: workspace.path("container.log"))
    switch try run.wait(seconds: 7500) {
    case 0: break
    case Self.isMissing:
      return skipped(try TextFile.read(output).split(separator: "\n").last.map(String.init) ?? "")
    case let status:
      let said = ["container/out/log", "container/console", "container.log"].map {
        "\($0): \(RunningProgram.tail(workspace.path($0)))"
      }
      throw BenchError("\(Self.script) ended with status \(status); \(said.joined(separator: "\n"))")
    }
    let results = try TextFile.bytes("\(folder)/out/results")
    return Results.Systemd(
      reason: nil, units: try JSONDecoder().decode(Results.Units.self, from: Data(results)))
  }

  private func skipped(_ reason: String) -> Results.Systemd {
    Progress.say("SKIPPED: everything under systemd, because \(reason)")
    return Results.Systemd(reason: reason, units: nil)
  }
}
