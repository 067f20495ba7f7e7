import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// Whoever comes when a quota is full is told so; who was there before keeps everything.
  @Suite("A full quota")
  struct QuotaTests {
    @Test("of guests refuses one guest more, and lets it in when another one has ended")
    func guests() throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet", "--maximum-guests", "1"])
        let console = try ConsoleReader()
        let first = try bench.startGuest(Scene.plan(), console: console)
        var other = Scene.plan()
        other.name = "vm2"
        let refused = try bench.startVMM(other)
        #expect(try refused.wait(for: "refused").refusal == "quotaExceeded")
        #expect(
          try refused.process.waitForEnd() == .exited(status: BatonWire.Refusal.quotaExceeded.exitCode))
        try Scene.expectWhole(first, console)
        // A successor is no further guest.
        let (next, handoff) = try bench.handOver(Scene.plan())
        #expect(handoff.outcome == .committed)
        next.process.signal(15)
        #expect(try next.process.waitForEnd() == .exited(status: 0))
        let second = try bench.startGuest(other)
        #expect(try second.isGuestRunning())
      }
    }

    @Test("of connections refuses a VMM, and lets it in when another one has gone")
    func connections() throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet", "--maximum-connections", "2", "--hello-ms", "600000"])
        let console = try ConsoleReader()
        let first = try bench.startGuest(Scene.plan(), console: console)
        var occupant: RecordPeer? = try RecordPeer(path: bench.handoffSocket)
        try Wait.until("the second connection") { try metrics(bench).counters.vmmConnections == 2 ? () : nil }
        let refused = try bench.startVMM(Scene.plan())
        #expect(try refused.wait(for: "refused").refusal == "quotaExceeded")
        try refused.process.waitForEnd()
        try Scene.expectWhole(first, console)
        _ = occupant.take()
        try Wait.until("the free place") { try metrics(bench).counters.vmmConnections == 1 ? () : nil }
        let (next, handoff) = try bench.handOver(Scene.plan())
        #expect(handoff.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }

    @Test("of connections takes no guest from an owner that comes back to a registry others came to first")
    func returningOwner() throws {
      try Workbench.use { bench in
        let options = ["--quiet", "--maximum-connections", "2", "--hello-ms", "600000"]
        try bench.startRegistry(options)
        let console = try ConsoleReader()
        let owner = try bench.startGuest(Scene.plan(), console: console)
        owner.process.signal(19)
        try Wait.until("the owner's standstill") { owner.process.isStopped ? () : nil }
        try #require(bench.registry).kill()
        try bench.startRegistry(options)
        var occupants = [
          try RecordPeer(path: bench.handoffSocket), try RecordPeer(path: bench.handoffSocket),
        ]
        try Wait.until("both connections") { try metrics(bench).counters.vmmConnections == 2 ? () : nil }
        owner.process.signal(18)
        try Wait.until("a refusal of the owner") {
          (try metrics(bench).counters.refusals["quotaExceeded"] ?? 0) >= 3 ? () : nil
        }
        #expect(owner.process.isAlive)
        #expect(console.advances())
        #expect(try bench.guest("vm1").state == .running)
        occupants.removeAll()
        try bench.waitForGuest("vm1", "is reachable again") { guest in
          (try? preflight(bench))?.first { $0.name == "owner" }?.verdict == .pass && guest.state == .running
        }
        try Scene.expectWhole(owner, console)
        let (next, handoff) = try bench.handOver(Scene.plan())
        #expect(handoff.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }

    @Test("of descriptors ends the attempt with the guest at its source, and preflight says so before")
    func descriptors() throws {
      try Workbench.use { bench in
        // RAM, state and console are three.
        try bench.startRegistry(["--quiet", "--maximum-descriptors", "2"])
        let console = try ConsoleReader()
        let source = try bench.startGuest(Scene.plan(), console: console)
        #expect(try preflight(bench).first { $0.name == "descriptorStore" }?.verdict == .fail)
        let asked = try bench.batonctl(["upgrade", "vm1", "--exec", "/bin/false"])
        #expect(asked.status == CommandStatus.preflightFailed.rawValue)
        let successor = try bench.startVMM(Scene.plan())
        let guest = try bench.waitForGuest("vm1", "goes on at its source") {
          $0.lastOutcome == .aborted && $0.handoff == nil && $0.state == .running
        }
        #expect(guest.owner?.processId == source.pid)
        #expect(try bench.client().describe("vm1").handoffs.last?.refusal?.name == "quotaExceeded")
        #expect(try successor.process.waitForEnd() != .exited(status: 0))
        #expect(try metrics(bench).counters.custodyDescriptors == 0)
        try Scene.expectWhole(source, console)
        // A guest that brings no more than two goes through.
        var small = Scene.plan()
        small.name = "vm2"
        _ = try bench.startGuest(small)
        let (next, handoff) = try bench.handOver(small)
        #expect(handoff.outcome == .committed)
        #expect(try next.isGuestRunning())
      }
    }

    private func metrics(_ bench: Workbench) throws -> MetricsReply {
      try bench.client().ask(.metrics, NoParameters())
    }

    private func preflight(_ bench: Workbench) throws -> [Check] {
      let reply: PreflightReply = try bench.client().ask(.preflight, PreflightRequest(guest: "vm1"))
      return reply.checks
    }
  }
}
