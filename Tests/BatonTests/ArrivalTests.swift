import Baton
import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

@Suite("A guest from another host that is all here")
struct ArrivalTests {
  private let arrivals: TestArrivals

  init() throws { arrivals = try TestArrivals() }

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
      let guest = try arrivals.arrive(bench, arrivals.ids[0])
      let before = try connection(guest.descriptor)
      #expect(try phase(bench) == .arriving)
      let arrived = try arrivals.arrived(guest)
      #expect(try connection(arrived.descriptor) == before)
      // People are told a little later.
      #expect(try Wait.holds { try phase(bench) == .arrived })
    }
  }

  @Test("is said to a registry that was restarted meanwhile, with the first record of a new connection")
  func restarted() throws {
    try Workbench.use { bench in
      let registry = try bench.startRegistry()
      let guest = try arrivals.arrive(bench, arrivals.ids[0])
      // It has settled, and its journal has a name.
      #expect(try phase(bench) == .arriving)
      registry.kill()
      _ = try bench.startRegistry()
      let arrived = try arrivals.arrived(guest)
      #expect(arrived.descriptor >= 0)
      #expect(try Wait.holds { try phase(bench) == .arrived })
    }
  }

  @Test("is not told to its source while the registry does not answer, and can be withdrawn then")
  func silent() throws {
    try Workbench.use { bench in
      let registry = try bench.startRegistry()
      let guest = try arrivals.arrive(bench, arrivals.ids[0])
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
        try arrivals.tell(rest.withdraw(.successorDeclined, "the registry was silent"))
        #expect(try bench.guest("vm1").state == .ended)
      }
    }
  }
}
