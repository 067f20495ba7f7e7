import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  @Suite("A chain of handoffs")
  struct ChainTests {
    @Test("takes a guest through six processes without a gap", arguments: GuestPlan.Protection.allCases)
    func chain(_ protection: GuestPlan.Protection) throws {
      try Workbench.use { bench in
        var plan = Scene.plan(protection)
        plan.disk = "\(bench.directory)/disk.img"
        try Scene.daemons(bench, plan)
        let console = try ConsoleReader()
        var owner = try bench.startGuest(plan, console: console)
        console.closeWriteEnd()
        let bystander = try LockBystander(path: plan.disk ?? "")
        var counter: UInt64 = 0
        for number in 1...5 {
          #expect(console.advances())
          let (successor, handoff) = try bench.handOver(plan)
          #expect(handoff.outcome == .committed)
          #expect(handoff.way.rawValue == (protection == .model ? "token" : "none"))
          #expect(handoff.epochAfter == UInt64(number + 1))
          #expect(handoff.blackoutMicroseconds != nil)
          try successor.wait(for: "running")
          #expect(try owner.process.waitForEnd() == .exited(status: 0))
          let verdict = try successor.verdict()
          #expect(verdict.counter > counter)
          counter = verdict.counter
          owner = successor
        }
        try Scene.expectWhole(owner, console)
        #expect(bystander.successes == 0)
        #expect(bystander.attempts > 0)
        owner.process.signal(15)
        #expect(try owner.process.waitForEnd() == .exited(status: 0))
        #expect(Wait.holds { console.hasEnded })
        #expect(console.fault == nil)
        #expect(Wait.holds { bystander.successes > 0 })
        bystander.end()
      }
    }

    @Test("leaves the old process without the guest: it has released and ended")
    func oldProcess() throws {
      try Workbench.use { bench in
        let plan = Scene.plan(.model)
        try Scene.daemons(bench, plan)
        let source = try bench.startGuest(plan)
        let (successor, _) = try bench.handOver(plan)
        try successor.wait(for: "running")
        #expect(try source.process.waitForEnd() == .exited(status: 0))
        #expect(try source.last("released") != nil)
        #expect(try Scene.runner(of: [source, successor]) === successor)
      }
    }

    @Test("ends a source that goes on after its release, by the fence")
    func fence() throws {
      try Workbench.use { bench in
        let plan = Scene.plan()
        try Scene.daemons(bench, plan, options: ["--release-ms", "1000"])
        let source = try bench.startGuest(plan, extra: ["--misbehave", "run-after-release"])
        let (successor, _) = try bench.handOver(plan)
        let misbehaving = try source.wait(for: "misbehaving")
        #expect(try source.process.waitForEnd(seconds: 15) == .signalled(9))
        let lived = MonotonicClock.now() - misbehaving.at
        #expect(lived >= 500_000_000, "it was ended long before its deadline")
        let metrics: MetricsReply = try bench.client().ask(.metrics, NoParameters())
        #expect(metrics.counters.fencedProcesses == 1)
        #expect(try successor.isGuestRunning())
      }
    }

    @Test(
      "ends with the guest at its source when the successor declines or gives the baton back",
      arguments: ["decline", "return-baton"], GuestPlan.Protection.allCases)
    func refusedBySuccessor(_ how: String, _ protection: GuestPlan.Protection) throws {
      try Workbench.use { bench in
        let plan = Scene.plan(protection)
        try Scene.daemons(bench, plan)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        let (successor, handoff) = try bench.handOver(plan, extra: ["--misbehave", how])
        #expect(handoff.outcome == (how == "decline" ? .aborted : .takenBack))
        #expect(try successor.process.waitForEnd() == .exited(status: 3))
        try bench.waitForGuest("vm1", "runs again") {
          $0.state == .running && $0.owner?.processId == source.pid
        }
        #expect(try Scene.runner(of: [source, successor]) === source)
        try Scene.expectWhole(source, console)
        let (next, second) = try bench.handOver(plan)
        #expect(second.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }
  }
}
