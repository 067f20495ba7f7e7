import LinuxOS

/// A private folder with the sockets and logs of one run, and the services in it.
final class Workspace {
  let folder: String
  private let programs: String
  private let keeps: Bool
  private var files: [String] = []
  private var logs: Set<String> = []

  init(programs: String, keeps: Bool) throws {
    self.programs = programs
    self.keeps = keeps
    folder = try Files.makePrivateDirectory(prefix: "/tmp/baton-bench-")
    for program in ["batond", "batonctl", "baton-vmm", "sevmodeld", "bench-floor"] {
      guard (try? Files.open("\(programs)/\(program)", .readOnly)) != nil else {
        throw BenchError("\(programs)/\(program) is not there; build it first, or say --programs")
      }
    }
  }

  /// A path in the folder that is removed at the end.
  func path(_ name: String) -> String {
    let path = "\(folder)/\(name)"
    if logs.insert(name).inserted { files.append(path) }
    return path
  }

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
    _ = path("registry.journal.new")
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
      Self.pause(milliseconds: 10)
    }
    throw BenchError("\(program.name) does not listen on \(socket)")
  }

  /// Runs batonctl and returns what it wrote.
  ///
  /// - Parameter program: What `--exec` starts; it comes last.
  func control(_ arguments: [String], seconds: UInt64, program exec: [String] = []) throws -> String {
    let output = path("batonctl.out")
    try Files.remove(output)
    let tail = exec.isEmpty ? [] : ["--exec"] + exec
    let program = try start(
      "batonctl", arguments + ["--socket", varlinkSocket] + tail, output: output)
    try program.waitForSuccess(seconds: seconds)
    return try Self.read(output)
  }

  static func read(_ path: String) throws -> String {
    let file = try Files.open(path, .readOnly)
    let size = try file.identity().byteCount
    return String(decoding: try file.read(count: Int(clamping: size), at: 0), as: UTF8.self)
  }

  static func pause(milliseconds: UInt64) {
    var nothing: [Poller.Interest] = []
    _ = try? Poller.wait(&nothing, timeoutNanoseconds: milliseconds * 1_000_000)
  }

  /// Removes the folder, or says where it is.
  func remove() {
    if keeps {
      Progress.say("sockets and logs are in \(folder)")
      return
    }
    for file in files { _ = try? Files.remove(file) }
    try? Files.removeDirectory(folder)
  }
}
