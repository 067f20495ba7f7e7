import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite.MoveTests {
  @Suite("A successor that moves the context late")
  struct MoveSlowSuccessorTests {
    private static let patience = ["--claim-ms", "500", "--release-ms", "60000"]

    private static func waitForStandstill(_ vmm: VMM) throws {
      try Wait.until("the successor's standstill") {
        vmm.process.isStopped || !vmm.process.isAlive ? () : nil
      }
    }

    @Test(
      "moves nothing after the source took back: the old VM that it has a descriptor of is empty",
      arguments: MoveCustody.allCases)
    func movesAfterTakingBack(_ custody: MoveCustody) throws {
      try Workbench.use { bench in
        let plan = custody.plan
        try Scene.daemons(bench, plan, options: Self.patience)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        let slow = try bench.startVMM(plan, stopAt: "successorClaimed")
        try Self.waitForStandstill(slow)
        try source.wait(for: "tookBack")
        try bench.waitForGuest("vm1", "was given back") {
          $0.state == .running && $0.handoff == nil && $0.owner?.processId == source.pid
        }
        #expect(try Scene.runner(of: [source, slow]) === source)
        #expect(slow.process.isAlive, "nothing but its own answer ends its claim")
        // It goes on, finds out, says so and is released; the guest runs all the while.
        slow.process.signal(18)
        #expect(try slow.process.waitForEnd() != .exited(status: 0))
        #expect(try slow.last("running") == nil)
        #expect(try bench.guest("vm1").owner?.processId == source.pid)
        try Scene.expectHandable(bench, plan, source, console)
      }
    }

    @Test("is ended when it hangs with the context, which then is moved back out of its VM in custody")
    func hangsWithTheContext() throws {
      try Workbench.use { bench in
        let plan = MoveCustody.all.plan
        try Scene.daemons(bench, plan, options: Self.patience)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        let slow = try bench.startVMM(plan, stopAt: "successorContextReceived")
        #expect(try slow.process.waitForEnd() == .signalled(9))
        try bench.waitForGuest("vm1", "was given back") {
          $0.state == .running && $0.handoff == nil && $0.owner?.processId == source.pid
        }
        #expect(try Scene.runner(of: [source, slow]) === source)
        try Scene.expectHandable(bench, plan, source, console)
      }
    }

    @Test(
      "gets the guest when it hangs with the context, its VM is not in custody, and it goes on in the end")
    func goesOnWithTheContext() throws {
      try Workbench.use { bench in
        let plan = MoveCustody.sourceOnly.plan
        try Scene.daemons(bench, plan, options: Self.patience)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        let slow = try bench.startVMM(plan, stopAt: "successorContextReceived")
        try Self.waitForStandstill(slow)
        // Its end would be the guest's end, so only a person may decide.
        try bench.waitForGuest("vm1", "needs a person") { $0.alarm != nil }
        #expect(slow.process.isAlive)
        slow.process.signal(18)
        try slow.wait(for: "running")
        #expect(try source.process.waitForEnd() == .exited(status: 0))
        try Scene.expectHandable(bench, plan, slow, console)
      }
    }
  }
}
