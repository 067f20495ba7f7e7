import FoundationEssentials
import Harness
import LinuxOS

/// A private folder with the sockets and logs of one run, and the services in it.
final class Workspace {
  let folder: String
  let programs: String
  private let keeps: Bool

  init(programs: String, keeps: Bool) throws {
    for program in ["batond", "batonctl", "baton-vmm", "sevmodeld", "bench-floor"] {
      guard (try? Files.open("\(programs)/\(program)", .readOnly)) != nil else {
        throw BenchError("\(programs)/\(program) is not there; build it first, or say --programs")
      }
    }
    self.programs = programs
    self.keeps = keeps
    folder = try Files.makePrivateDirectory(prefix: "/tmp/baton-bench-")
  }

  /// A path in the folder, which is removed at the end.
  func path(_ name: String) -> String { "\(folder)/\(name)" }

  func program(_ name: String) -> String { "\(programs)/\(name)" }

  var modelSocket: String { path("sevmodeld") }
  var handoffSocket: String { path("handoff") }
  var varlinkSocket: String { path("varlink") }

  func start(_ name: String, _ arguments: [String], output: String? = nil, log: String? = nil) throws
    -> RunningProgram
  {
    try RunningProgram(
      program(name), arguments, output: output, log: path(log ?? "\(name).log"))
  }

  /// Starts the software model and waits until it listens.
  func startModel() throws -> RunningProgram {
    let model = try start("sevmodeld", ["--socket", modelSocket])
    try wait(for: modelSocket, of: model)
    return model
  }

  /// Starts a registry on a fresh journal and waits until it listens.
  func startRegistry() throws -> RunningProgram {
    try Files.remove(path("registry.journal"))
    let registry = try start(
      "batond",
      [
        "--runtime-directory", folder, "--handoff-socket", handoffSocket, "--varlink-socket", varlinkSocket,
        "--settle-ms", "1", "--prepare-ms", "300000", "--quiet",
      ])
    try wait(for: handoffSocket, of: registry)
    return registry
  }

  private func wait(for socket: String, of program: RunningProgram) throws {
    for _ in 0..<500 {
      if (try? SeqpacketSocket.connect(path: socket)) != nil { return }
      guard program.isRunning else {
        try program.waitForSuccess(seconds: 1)
        throw BenchError("\(program.name) ended at once")
      }
      Wait.pause(milliseconds: 10)
    }
    throw BenchError("\(program.name) does not listen on \(socket)")
  }

  /// Runs batonctl and returns what it wrote.
  ///
  /// - Parameters:
  ///   - socket: Where the registry listens, if it is not the one of this folder.
  ///   - program: What `--exec` starts; it comes last.
  func control(
    _ arguments: [String], socket: String? = nil, seconds: UInt64, program exec: [String] = []
  ) throws -> String {
    let output = path("batonctl.out")
    try Files.remove(output)
    let tail = exec.isEmpty ? [] : ["--exec"] + exec
    let program = try start(
      "batonctl", arguments + ["--socket", socket ?? varlinkSocket] + tail, output: output)
    try program.waitForSuccess(seconds: seconds)
    return try TextFile.read(output)
  }

  /// Removes the folder with everything in it, or says where it is.
  func remove() {
    if keeps {
      Progress.say("sockets and logs are in \(folder)")
      return
    }
    try? FileManager.default.removeItem(atPath: folder)
  }
}
