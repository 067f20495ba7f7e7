import Baton
import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

@Suite("An arrival of which nothing comes")
struct WithdrawnArrivalTests {
  private let arrivals: TestArrivals
  private var ids: [MigrationID] { arrivals.ids }

  init() throws { arrivals = try TestArrivals() }

  @Test("is told to a registry that was gone when it was said, so that nobody has to settle it")
  func registryGone() throws {
    try Workbench.use { bench in
      let registry = try bench.startRegistry()
      let guest = try arrivals.arrived(arrivals.arrive(bench, ids[0]))
      #expect(try bench.guest("vm1").state == .arriving)
      registry.kill()
      let withdrawn = guest.withdraw(.linkLost, "the source keeps it")
      _ = try bench.startRegistry()
      // It is back with its journal.
      #expect(try bench.guest("vm1").state == .arriving)
      try arrivals.tell(withdrawn)
      #expect(try bench.guest("vm1").state == .ended)
    }
  }

  @Test("is told at once to a registry that is there")
  func registryThere() throws {
    try Workbench.use { bench in
      _ = try bench.startRegistry()
      try arrivals.tell(arrivals.arrive(bench, ids[0]).withdraw(.linkLost, ""))
      #expect(try bench.guest("vm1").state == .ended)
      try arrivals.tell(arrivals.arrived(arrivals.arrive(bench, ids[1])).withdraw(.linkLost, ""))
      #expect(try bench.guest("vm1").state == .ended)
    }
  }

  @Test("makes room for the next one of the same process, whether or not it could be said")
  func next() throws {
    try Workbench.use { bench in
      let registry = try bench.startRegistry()
      let guest = try arrivals.arrived(arrivals.arrive(bench, ids[0]))
      registry.kill()
      // What it says is lost, with what would say it again.
      _ = guest.withdraw(.linkLost, "")
      _ = try bench.startRegistry()
      let again = try arrivals.arrived(arrivals.arrive(bench, ids[1]))
      let view = try bench.guest("vm1")
      #expect(view.state == .arriving && view.migration?.id == ids[1].hexadecimal)
      try arrivals.tell(again.withdraw(.linkLost, ""))
    }
  }

  @Test("is left to withdraw when the registry did not take it down that all is here")
  func unannounced() throws {
    try Workbench.use { bench in
      let registry = try bench.startRegistry()
      let guest = try arrivals.arrive(bench, ids[0])
      // It has settled, and its journal has a name.
      #expect(try bench.guest("vm1").state == .arriving)
      registry.kill()
      switch guest.arrived(patienceMilliseconds: 200) {
      case .arrived: Issue.record("nobody took it down")
      case .failed(let rest, let error):
        guard case .registryUnreachable = error else {
          Issue.record("\(error)")
          return
        }
        _ = try bench.startRegistry()
        #expect(try bench.guest("vm1").state == .arriving)
        try arrivals.tell(rest.withdraw(.successorDeclined, "the registry was gone"))
        #expect(try bench.guest("vm1").state == .ended)
      }
    }
  }

  @Test("is refused to begin again by a registry that ended it while it was restarted")
  func endedMeanwhile() throws {
    try Workbench.use { bench in
      _ = try bench.startRegistry()
      let guest = try arrivals.arrive(bench, ids[0])
      let settled = try bench.batonctl(["settle", "vm1", "--stays"])
      #expect(settled.status == 0)
      switch guest.arrived(patienceMilliseconds: 20_000) {
      case .arrived: Issue.record("what was ended has arrived")
      case .failed(let rest, let error):
        guard case .refused(.migrationCancelled, _) = error else {
          Issue.record("\(error)")
          return
        }
        try arrivals.tell(rest.withdraw(.migrationCancelled, ""))
        #expect(try bench.guest("vm1").state == .ended)
      }
    }
  }
}

@Suite("A VMM that never begins a guest")
struct NeverBeginsTests {
  @Test("is refused where nobody has it, and is not told to go")
  func absent() throws {
    try Workbench.use { bench in
      _ = try bench.startRegistry(["--release-ms", "200"])
      let identity = VMMIdentity(
        registry: bench.handoffSocket, guest: "counter", build: "test",
        reads: ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0))
      #expect(throws: BatonError.self) { _ = try Applicant(identity, neverBegins: true) }
      let first = try bench.start(.example, [bench.handoffSocket, "counter", "50"])
      #expect(try first.waitForEnd() == .exited(status: 0))
      #expect(try bench.waitForGuest("counter", "has ended") { $0.state == .ended }.state == .ended)
      do throws(BatonError) {
        _ = try Applicant(identity, neverBegins: true)
        Issue.record("a guest began")
      } catch {
        guard case .refused(.guestEnded, _) = error else {
          Issue.record("\(error)")
          return
        }
      }
      #expect(try bench.guest("counter").state == .ended)
    }
  }

  @Test("is the successor of somebody who has it")
  func present() throws {
    try Workbench.use { bench in
      _ = try bench.startRegistry()
      let first = try bench.start(.example, [bench.handoffSocket, "counter", "100000"])
      _ = try bench.waitForGuest("counter", "runs") { $0.state == .running }
      let identity = VMMIdentity(
        registry: bench.handoffSocket, guest: "counter", build: "test",
        reads: ReadableFormats(name: "test", oldest: 1, newest: 9, features: .max))
      let applicant = try Applicant(identity, neverBegins: true)
      let isSuccessor = applicant.isSuccessor
      #expect(isSuccessor)
      first.kill()
    }
  }
}
