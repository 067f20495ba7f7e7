import FoundationEssentials
import Harness
import LinuxOS

/// A block of handoffs of the C program that does only what is unavoidable.
enum FloorRun {
  /// One handoff as the program prints it.
  struct Sample: Decodable {
    let blackoutNanoseconds: UInt64
    let phases: [String: UInt64]
  }

  static func run(
    handoffs: Int, ramMebibytes: Int, way: ContextWay, _ workspace: Workspace
  ) throws -> [Sample] {
    let output = workspace.path("floor.out")
    try Files.remove(output)
    let program = try workspace.start(
      "bench-floor",
      [
        "--model", workspace.modelSocket, "--way", way.rawValue, "--memory", "\(ramMebibytes << 20)",
        "--handoffs", "\(handoffs)",
      ], output: output)
    try program.waitForSuccess(seconds: 120 + UInt64(handoffs) * 60)
    let lines = try TextFile.read(output).split(separator: "\n")
    // The last line is the program's own summary.
    return try lines.dropLast().map {
      try JSONDecoder().decode(Sample.self, from: Data(String($0).utf8))
    }
  }
}
