import FoundationEssentials
import Harness
import LinuxOS

/// `batonctl --json migrate`, as far as the measurement reads it.
struct MigrationCommand {
  /// What it wrote last.
  struct End: Decodable {
    struct Figures: Decodable {
      let milliseconds: UInt64
      let pauseMicroseconds: UInt64
      let pages: UInt64?
      let bytes: UInt64?
    }
    let exitStatus: Int32?
    let error: String?
    let predicted: Figures?
    let real: Figures?
  }

  /// What it foretold.
  struct Plan: Decodable {
    /// To measure the path.
    let bytesSent: UInt64
    let pagesPerSecond: UInt64
    let dirtyPagesPerSecond: UInt64
    let expectedMilliseconds: UInt64
    let expectedPauseMilliseconds: UInt64
    let willConverge: Bool
  }

  let plan: Plan?
  let end: End

  private struct Line: Decodable {
    struct Migration: Decodable {
      let progress: Plan?
    }
    let type: String
    let migration: Migration?
  }

  /// - Parameters:
  ///   - seconds: How long it may take.
  ///   - meanwhile: Called about twenty times a second until it ends.
  static func run(
    _ arguments: [String], at host: MigrationHost, _ workspace: Workspace, seconds: UInt64,
    meanwhile: () throws -> Void = {}
  ) throws -> MigrationCommand {
    let output = workspace.path("migrate.out")
    try Files.remove(output)
    let program = try workspace.start(
      "batonctl", ["--json", "migrate"] + arguments + ["--socket", host.varlinkSocket], output: output)
    let deadline = MonotonicClock.now() + seconds * 1_000_000_000
    while program.isRunning {
      guard MonotonicClock.now() < deadline else {
        throw BenchError("a migration from \(host.name) did not end within \(seconds) s; \(host.vmmTail)")
      }
      try meanwhile()
      Wait.pause(milliseconds: 50)
    }
    let lines = try TextFile.bytes(output).split(separator: UInt8(ascii: "\n")).map { Data($0) }
    let plans = try lines.compactMap { data -> Plan? in
      let line = try JSONDecoder().decode(Line.self, from: data)
      return line.type == "plan" ? line.migration?.progress : nil
    }
    guard let last = lines.last else {
      throw BenchError(
        "batonctl migrate said nothing; \(RunningProgram.tail(workspace.path("batonctl.log")))")
    }
    return MigrationCommand(plan: plans.last, end: try JSONDecoder().decode(End.self, from: last))
  }
}
