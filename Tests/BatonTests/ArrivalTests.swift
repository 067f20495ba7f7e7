import Baton
import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

@Suite("A guest from another host that is all here")
struct ArrivalTests {
  private let lock: DepartureLock
  private let id: MigrationID

  init() throws {
    lock = try #require(DepartureLock([UInt8](repeating: 2, count: 32)))
    id = try #require(MigrationID([UInt8](repeating: 1, count: 16)))
  }

  private func arrive(_ bench: Workbench) throws -> ArrivingGuest {
    try ArrivingGuest(
      VMMIdentity(
        registry: bench.handoffSocket, guest: "vm1", build: "test",
        reads: ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0)),
      id: id, lock: lock, epoch: 5, peer: "north",
      manifest: Manifest(
        way: .none, vcpuCount: 1, files: [RAMFile(device: 1, inode: 2, byteCount: 4096)],
        regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: 4096, file: 0, fileOffset: 0)], hasVM: false,
        names: [], format: StateFormat(name: "test", version: 1, features: 0), details: []),
      patienceMilliseconds: 20_000)
  }

  /// The socket's inode: another one may get the same number.
  private func connection(_ descriptor: Int32) throws -> Substring {
    let facts = try TextFile.lines(ofProcess: ThisProcess.pid, "fdinfo/\(descriptor)")
    return try #require(facts.first { $0.hasPrefix("ino:") })
  }

  private func phase(_ bench: Workbench) throws -> MigrationPhase? { try bench.guest("vm1").migration?.phase }

  @Test("is in the registry's journal when its VMM hears so, over the connection that it was announced on")
  func sameConnection() throws {
    try Workbench.use { bench in
      _ = try bench.startRegistry()
      let guest = try arrive(bench)
      let before = try connection(guest.descriptor)
      #expect(try phase(bench) == .arriving)
      switch guest.arrived(patienceMilliseconds: 20_000) {
      case .failed(_, let error): throw error
      case .arrived(let arrived):
        #expect(try connection(arrived.descriptor) == before)
        // People are told a little later.
        #expect(try Wait.holds { try phase(bench) == .arrived })
      }
    }
  }

  @Test("is said to a registry that was restarted meanwhile, with the first record of a new connection")
  func restarted() throws {
    try Workbench.use { bench in
      let registry = try bench.startRegistry()
      let guest = try arrive(bench)
      // It has settled, and its journal has a name.
      #expect(try phase(bench) == .arriving)
      registry.kill()
      _ = try bench.startRegistry()
      switch guest.arrived(patienceMilliseconds: 20_000) {
      case .failed(_, let error): throw error
      case .arrived: #expect(try Wait.holds { try phase(bench) == .arrived })
      }
    }
  }

  @Test("is not told to its source while the registry does not answer, and can be withdrawn then")
  func silent() throws {
    try Workbench.use { bench in
      let registry = try bench.startRegistry()
      let guest = try arrive(bench)
      #expect(try phase(bench) == .arriving)
      registry.signal(19)
      #expect(Wait.holds { registry.isStopped })
      switch guest.arrived(patienceMilliseconds: 200) {
      case .arrived: Issue.record("nobody answered")
      case .failed(let rest, let error):
        registry.signal(18)
        guard case .registryUnreachable = error else {
          Issue.record("\(error)")
          return
        }
        var withdrawn = rest.withdraw(.successorDeclined, "the registry was silent")
        let deadline = MonotonicClock.now() + 20_000_000_000
        while try !withdrawn.process(until: deadline) { try #require(MonotonicClock.now() < deadline) }
        #expect(try bench.guest("vm1").state == .ended)
      }
    }
  }
}
