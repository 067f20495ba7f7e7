import FoundationEssentials
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// What a person sees of guests that are not simply running, and whether what is proposed helps.
  @Suite("An operator who looks")
  struct OperatorViewTests {
    @Test("at a guest that waits in custody reads the command that settles it, and it does")
    func waiting() throws {
      try Workbench.use { bench in
        let plan = Scene.plan(.model)
        try Scene.daemons(bench, plan)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console, crashAt: "sourceStaged")
        let claimant = try bench.startVMM(plan, stopAt: "successorClaimed")
        #expect(try source.process.waitForEnd() == .signalled(9))
        try Wait.until("the claimant's standstill") { claimant.process.isStopped ? () : nil }
        claimant.process.kill()
        try bench.waitForGuest("vm1", "waits in custody") { $0.state == .waiting }
        try Wait.until("the alarm") { try counters(bench).alarms == 1 ? () : nil }
        let guest = try bench.guest("vm1")
        #expect(guest.alarm?.command == "batonctl upgrade vm1")
        #expect(guest.owner == nil)
        #expect(guest.phase == nil)
        let text = try bench.batonctl(["list"]).output
        #expect(text.contains("waiting"))
        #expect(text.contains("alarm vm1: the source has ended and the guest waits paused in custody"))
        #expect(text.contains("\n  batonctl upgrade vm1\n"))
        let json = try bench.batonctl(["list", "--json"]).output
        #expect(json.contains(#""state":"waiting""#))
        #expect(json.contains(#""command":"batonctl upgrade vm1""#))
        #expect(try bench.batonctl(["show", "vm1"]).output.contains("batonctl upgrade vm1"))
        // It is the same alarm however late one looks.
        Wait.pause(milliseconds: 20)
        #expect(try bench.guest("vm1").alarm == guest.alarm)

        let successor = try commandLine(bench, plan)
        let settled = try bench.batonctl(["upgrade", "vm1", "--exec"] + successor)
        #expect(settled.status == CommandStatus.success.rawValue, "\(settled.output)")
        #expect(console.advances())
        #expect(console.fault == nil)
        let phases = try bench.client().describe("vm1").handoffs.last?.phases.map(\.name) ?? []
        // The baton waited for the next one to attach and get ready.
        let taking: Set<PhaseName> = [.claim, .receive, .attach, .ready]
        #expect(
          phases.drop { $0 != .stage }.filter(taking.contains)
            == [.claim, .receive, .attach, .ready, .receive])
        #expect(try bench.guest("vm1").alarm == nil)
        #expect(try counters(bench).alarms == 0)
      }
    }

    @Test("at a guest that is lost reads that and why, and a script gets the status for it")
    func lost() throws {
      try Workbench.use { bench in
        let plan = Scene.plan(.model, custody: false)
        try Scene.daemons(bench, plan)
        let source = try bench.startGuest(plan, crashAt: "sourceStaged")
        let claimant = try bench.startVMM(plan, stopAt: "successorClaimed")
        #expect(try source.process.waitForEnd() == .signalled(9))
        try Wait.until("the claimant's standstill") {
          claimant.process.isStopped || !claimant.process.isAlive ? () : nil
        }
        claimant.process.kill()
        try bench.waitForGuest("vm1", "is lost") { $0.state == .lost }
        let text = try bench.batonctl(["list"]).output
        #expect(text.contains("lost"))
        let shown = try bench.batonctl(["show", "vm1"])
        #expect(shown.status == 0)
        #expect(shown.output.contains("guest lost: sourceDestroyed"))
        #expect(shown.output.contains("start it anew"))
        let upgrade = try bench.batonctl(["upgrade", "vm1", "--exec", "/bin/false"])
        #expect(upgrade.status == CommandStatus.guestLost.rawValue)
        #expect(try bench.batonctl(["abort", "vm1"]).status == CommandStatus.nothingToAbort.rawValue)
        // Its name is free for a guest that is started anew.
        let anew = try bench.startGuest(plan)
        #expect(try bench.guest("vm1").state == .running)
        #expect(try anew.isGuestRunning())
      }
    }

    @Test("at a guest whose source hangs while it is to take it back reads whom to wake, and it helps")
    func hangingSource() throws {
      try Workbench.use { bench in
        let plan = Scene.plan(.model)
        try Scene.daemons(bench, plan, options: ["--claim-ms", "400"])
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console, stopAt: "sourceStaged")
        let claimant = try bench.startVMM(plan, crashAt: "successorClaimed")
        #expect(try claimant.process.waitForEnd() == .signalled(9))
        let guest = try bench.waitForGuest("vm1", "has an alarm") { $0.alarm != nil }
        #expect(guest.state == .takingBack)
        #expect(guest.alarm?.command == "kill -CONT \(source.pid)")
        let text = try bench.batonctl(["list"]).output
        #expect(text.contains("taking back"))
        #expect(text.contains("\n  kill -CONT \(source.pid)\n"))
        #expect(try counters(bench).alarms == 1)
        source.process.signal(18)
        try bench.waitForGuest("vm1", "runs at its source without alarm") {
          $0.state == .running && $0.owner?.processId == source.pid && $0.alarm == nil
        }
        #expect(try counters(bench).alarms == 0)
        try Scene.expectWhole(source, console)
        Scene.expectOrdered(try bench.client().describe("vm1").handoffs)
      }
    }

    @Test("at a guest before its handoff sees every check of the preflight once, each under its known name")
    func preflight() throws {
      for protection in GuestPlan.Protection.allCases {
        try Workbench.use { bench in
          let plan = Scene.plan(protection)
          try Scene.daemons(bench, plan)
          _ = try bench.startGuest(plan)
          let reply: PreflightReply = try bench.client().ask(
            .preflight, PreflightRequest(guest: plan.name))
          #expect(reply.checks.map(\.name) == CheckName.allCases.map(\.rawValue))
          #expect(reply.verdict != .fail)
          // This VMM leaves none of them open.
          #expect(reply.checks.filter { $0.verdict == .unknown }.map(\.name) == [])
          let text = try bench.batonctl(["preflight", plan.name])
          #expect(text.status == CommandStatus.success.rawValue)
          for name in CheckName.allCases { #expect(text.output.contains(name.rawValue)) }
        }
      }
    }

    @Test(
      "at guests that are over sees the last ones only; the others are forgotten, their numbers are not reused"
    )
    func forgotten() throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet", "--remember-guests", "1"])
        func live(_ name: String) throws -> Guest {
          var plan = Scene.plan()
          plan.name = name
          let vmm = try bench.startGuest(plan)
          let guest = try bench.guest(name)
          vmm.process.signal(15)
          #expect(try vmm.process.waitForEnd() == .exited(status: 0))
          return guest
        }
        func names(_ expected: [String]) throws {
          try Wait.until("the guests \(expected)") {
            try bench.client().guests().map(\.name) == expected ? () : nil
          }
        }
        #expect(try live("a").epoch == 1)
        try names(["a"])
        #expect(try bench.guest("a").state == .ended)
        #expect(try live("b").epoch == 1)
        try names(["b"])
        #expect(
          try bench.batonctl(["show", "a"]).status == CommandStatus.unknownGuest.rawValue)
        #expect(try live("a").epoch == 2)
        try names(["a"])
        try #require(bench.registry).kill()
        try bench.startRegistry(["--quiet", "--remember-seconds", "1"])
        try names([])
      }
    }

    private func counters(_ bench: Workbench) throws -> Counters {
      let reply: MetricsReply = try bench.client().ask(.metrics, NoParameters())
      return reply.counters
    }

    /// A successor that outlives batonctl and still has an end.
    private func commandLine(_ bench: Workbench, _ plan: GuestPlan) throws -> [String] {
      let events = try bench.detachedEvents("detached.events")
      return ["timeout", "--foreground", "-s", "KILL", "120", try Programs.vmm.path()]
        + bench.vmmArguments(plan, events: events.path)
    }
  }
}
