import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  @Suite("A successor that stands still past every deadline")
  struct SlowSuccessorTests {
    @Test(
      "is given up, and changes nothing when it goes on", arguments: GuestPlan.Protection.allCases,
      ["successorOffered", "successorReady", "successorClaimed"])
    func stopped(_ protection: GuestPlan.Protection, _ point: String) throws {
      try Workbench.use { bench in
        let plan = Scene.plan(protection)
        try Scene.daemons(
          bench, plan,
          // Those that do not stand still have to start within the first of these, on a busy machine too.
          options: ["--prepare-ms", "3000", "--claim-ms", "500", "--release-ms", "60000"])
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        let slow = try bench.startVMM(plan, stopAt: point)
        try Wait.until("the successor's standstill") {
          slow.process.isStopped || !slow.process.isAlive ? () : nil
        }
        try bench.waitForGuest("vm1", "was given back") {
          $0.state == .running && $0.handoff == nil && $0.lastHandoff != nil
            && $0.owner?.processId == source.pid
        }
        #expect(try Scene.runner(of: [source, slow]) === source)
        if protection == .none, point != "successorOffered" {
          // Nothing in the kernel arbitrates, so its death had to be seen before the source went on.
          #expect(try slow.process.waitForEnd() == .signalled(9))
        } else {
          #expect(slow.process.isAlive)
        }
        slow.process.signal(18)
        #expect(try slow.process.waitForEnd() != .exited(status: 0))
        #expect(try slow.last("running") == nil)
        #expect(try bench.guest("vm1").owner?.processId == source.pid)
        try Scene.expectWhole(source, console)
        let (next, handoff) = try bench.handOver(plan)
        #expect(handoff.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }
  }
}
