import LinuxOS
import NIOCore
import NIOPosix
import RegistryInterface
import Synchronization
import Testing

@testable import RemoteService

/// All tests that run sidecars: one after the other, because some measure this process's memory.
@Suite("The sidecar", .serialized)
enum SidecarTests {}

/// A sidecar in this process, with sockets of its own.
final class RunningSidecar: Sendable {
  let server: RemoteServer
  let folder: String
  let port: UInt16
  private let box: EventBox

  /// What is on disk for it.
  struct Identity {
    var certificate = TestCertificates.south
    var key = TestCertificates.southKey
    var authorities = TestCertificates.trustedAuthority

    static let south = Identity()
    static let north = Identity(certificate: TestCertificates.north, key: TestCertificates.northKey)
  }

  init(
    _ identity: Identity = .south, allowing names: Set<String> = ["north.test", "south.test"],
    registry: any RegistryQuestions = ScriptedRegistry(),
    _ adjust: (inout RemoteConfiguration) -> Void = { _ in }
  ) throws {
    folder = try Files.makePrivateDirectory(prefix: "/tmp/baton-remote-test-")
    try Self.write(identity, to: folder)
    var settings = RemoteConfiguration(
      certificates: CertificateFiles(
        certificate: "\(folder)/cert", key: "\(folder)/key", authorities: "\(folder)/ca"),
      allowedPeers: names)
    settings.listen = [HostAddress(host: "127.0.0.1", port: 0)]
    settings.localSocket = "\(folder)/socket"
    settings.registrySocket = "\(folder)/varlink"
    settings.limits.connect = 5_000
    adjust(&settings)
    let box = EventBox()
    var nothing = PassedDescriptors()
    server = try RemoteServer(configuration: settings, passed: &nothing, registry: registry) { box.add($0) }
    try server.start()
    port = UInt16(try #require(server.ports.first))
    self.box = box
  }

  deinit {
    server.stop()
    for name in ["cert", "key", "ca", "socket"] { _ = try? Files.remove("\(folder)/\(name)") }
    _ = try? Files.removeDirectory(folder)
  }

  /// Puts other certificates there; `reload()` reads them.
  func replace(with identity: Identity) throws { try Self.write(identity, to: folder) }

  private static func write(_ identity: Identity, to folder: String) throws {
    let files = [("cert", identity.certificate), ("key", identity.key), ("ca", identity.authorities)]
    for (name, text) in files {
      _ = try Files.remove("\(folder)/\(name)")
      try Files.open("\(folder)/\(name)", .createNew).write(Array(text.utf8), at: 0)
    }
  }

  /// A program on this host that sends a first line.
  func client(_ line: String) throws -> LocalProbe {
    let probe = try LocalProbe(path: "\(folder)/socket")
    try probe.send(Array("\(line)\n".utf8))
    return probe
  }

  /// Waits until something was told; fails after ten seconds.
  @discardableResult
  func event<T>(_ find: (RemoteEvent) -> T?) throws -> T {
    let found = box.wait(find)
    return try #require(found, "told: \(box.all)")
  }

  /// Waits until a refusal was told.
  func fault() throws -> RemoteFault {
    try event { if case .refused(let fault, _) = $0 { fault } else { nil } }
  }

  /// Everything that was told.
  var told: [RemoteEvent] { box.all }
}

/// Events, from whatever thread.
final class EventBox: Sendable {
  private let list = Mutex<[RemoteEvent]>([])

  func add(_ event: RemoteEvent) { list.withLock { $0.append(event) } }

  var all: [RemoteEvent] { list.withLock { $0 } }

  func wait<T>(_ find: (RemoteEvent) -> T?) -> T? {
    let end = MonotonicClock.now() &+ 10_000_000_000
    while MonotonicClock.now() < end {
      for event in all { if let found = find(event) { return found } }
      var nothing: [Poller.Interest] = []
      _ = try? Poller.wait(&nothing, timeoutNanoseconds: 2_000_000)
    }
    return nil
  }
}
