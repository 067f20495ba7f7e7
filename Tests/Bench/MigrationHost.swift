import Harness
import LinuxOS

/// One of two hosts on this machine: a folder with a registry, a sidecar and, if it is needed, a model of its own.
final class MigrationHost {
  let name: String
  /// As the other one reaches it: name and port.
  let address: String
  private let workspace: Workspace
  private var services: [RunningProgram] = []
  private(set) var sidecar: RunningProgram

  /// Starts the services and waits until they answer.
  ///
  /// - Parameters:
  ///   - model: Options of the software model; nil for none.
  /// - Precondition: ``RemoteTools/makeCertificate()`` was called.
  init(_ name: String, port: Int, model: [String]?, _ workspace: Workspace) throws {
    self.name = name
    self.workspace = workspace
    address = "localhost:\(port)"
    let folder = workspace.path(name)
    _ = try Files.makeDirectory(folder)
    func start(_ program: String, _ arguments: [String], output: String? = nil) throws -> RunningProgram {
      try workspace.start(program, arguments, output: output, log: "\(name)-\(program).log")
    }
    for file in ["registry.journal", "remote.ready"] { try Files.remove("\(folder)/\(file)") }
    if let model {
      services.append(try start("sevmodeld", ["--socket", "\(folder)/sevmodeld"] + model))
    }
    services.append(
      try start(
        "batond",
        [
          "--runtime-directory", folder, "--handoff-socket", "\(folder)/handoff", "--varlink-socket",
          "\(folder)/varlink", "--settle-ms", "1", "--prepare-ms", "300000", "--quiet",
        ]))
    let sidecar = try start(
      "baton-remote",
      [
        "--listen", "127.0.0.1:\(port)", "--socket", "\(folder)/remote", "--varlink", "\(folder)/varlink",
        "--cert", workspace.path("remote.pem"), "--key", workspace.path("remote.key"), "--ca",
        workspace.path("remote.pem"), "--allow", "localhost", "--quiet",
      ], output: "\(folder)/remote.ready")
    self.sidecar = sidecar
    services.append(sidecar)
    try waitForServices(model: model != nil)
  }

  private func waitForServices(model: Bool) throws {
    for _ in 0..<1000 {
      let isReady =
        (try? SeqpacketSocket.connect(path: path("handoff"))) != nil
        && (!model || (try? SeqpacketSocket.connect(path: path("sevmodeld"))) != nil)
        && (try? TextFile.read(path("remote.ready")))?.isEmpty == false
      if isReady { return }
      if let ended = services.first(where: { !$0.isRunning }) {
        let log = workspace.path("\(name)-\(ended.name).log")
        throw BenchError("\(ended.name) of \(name) ended at once; \(RunningProgram.tail(log))")
      }
      Wait.pause(milliseconds: 10)
    }
    throw BenchError("the services of \(name) do not answer")
  }

  /// A path in the host's own folder.
  func path(_ name: String) -> String { "\(workspace.path(self.name))/\(name)" }

  var varlinkSocket: String { path("varlink") }

  /// Starts a VMM of this host.
  func startVMM(_ arguments: [String], events: String) throws -> RunningProgram {
    try workspace.start(
      "baton-vmm",
      arguments + [
        "--registry", path("handoff"), "--model-socket", path("sevmodeld"), "--remote-socket",
        path("remote"), "--events", events, "--patience", "600000",
      ], log: "\(name)-baton-vmm.log")
  }

  /// The last lines that its VMMs have written.
  var vmmTail: String { RunningProgram.tail(workspace.path("\(name)-baton-vmm.log")) }

  /// Of all services, so far.
  func processorSeconds() throws -> Double {
    try services.reduce(0) { try $0 + $1.processorSeconds() }
  }

  func kill() {
    for service in services.reversed() { service.kill() }
  }
}
