import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  @Suite("A source that stands still past every deadline")
  struct SlowSourceTests {
    private static let options = ["--claim-ms", "500", "--release-ms", "1000"]
    /// Successors that do not stand still have to start within it, on a busy machine too.
    private static let prepare = ["--prepare-ms", "3000"]

    @Test(
      "before it has staged keeps its guest, and goes on with it",
      arguments: ["sourcePrepare", "sourceOffered", "sourceFrozen", "sourceContextSent"],
      Custody.allCases)
    func beforeStaged(_ point: String, _ custody: Custody) throws {
      if point == "sourceContextSent", custody == .plain { return }  // A plain guest has no context to send.
      try Workbench.use { bench in
        let plan = custody.plan
        try Scene.daemons(bench, plan, options: Self.options + Self.prepare)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console, stopAt: point)
        let successor = try bench.startVMM(plan)
        try Wait.until("the source's standstill") { source.process.isStopped ? () : nil }
        try bench.waitForGuest("vm1", "has its attempt aborted") { $0.lastOutcome == .aborted }
        #expect(try successor.process.waitForEnd() != .exited(status: 0))
        #expect(source.process.isAlive)
        source.process.signal(18)
        try bench.waitForGuest("vm1", "runs on at its source") {
          $0.state == .running && $0.handoff == nil && $0.owner?.processId == source.pid
        }
        #expect(try Scene.runner(of: [source, successor]) === source)
        try Scene.expectWhole(source, console)
        let (next, handoff) = try bench.handOver(plan)
        #expect(handoff.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }

    @Test(
      "after it has staged loses its guest to the successor, and is ended by the fence",
      arguments: ["sourceStaged", "sourceReleased"], Custody.allCases)
    func afterStaged(_ point: String, _ custody: Custody) throws {
      try Workbench.use { bench in
        let plan = custody.plan
        try Scene.daemons(bench, plan, options: Self.options)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console, stopAt: point)
        let successor = try bench.startVMM(plan)
        try successor.wait(for: "running")
        #expect(try source.process.waitForEnd() == .signalled(9))
        try bench.waitForGuest("vm1", "is with its successor") {
          $0.state == .running && $0.handoff == nil && $0.owner?.processId == successor.pid
        }
        let metrics: MetricsReply = try bench.client().ask(.metrics, NoParameters())
        #expect(metrics.counters.fencedProcesses == 1)
        try Scene.expectWhole(successor, console)
        let (next, handoff) = try bench.handOver(plan)
        #expect(handoff.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }
  }
}
