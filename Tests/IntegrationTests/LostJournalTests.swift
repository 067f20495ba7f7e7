import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// Somebody has cleaned the runtime directory: the registry learns from the VMMs what it knew.
  @Suite("A journal that is deleted")
  struct LostJournalTests {
    @Test(
      "while its guest is paused costs nothing: the guest runs in one process again",
      arguments: [
        "afterFreezeSent", "afterJournalStaged", "afterClaimSent", "beforeJournalCommit",
        "afterJournalCommit",
      ], Custody.allCases)
    func paused(_ point: String, _ custody: Custody) throws {
      try Workbench.use { bench in
        let plan = custody.plan
        let (owner, console) = try Scene.registryDies(bench, plan, at: point) {
          try Files.remove(bench.journal)
        }
        try Scene.expectWhole(owner, console)
        Scene.expectOrdered(try bench.client().describe("vm1").handoffs)
        let (next, handoff) = try bench.handOver(plan)
        #expect(handoff.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }

    /// The claimant stands still, its source and the registry are killed, the journal is deleted.
    private func orphan(
      _ bench: Workbench, _ plan: GuestPlan, _ console: ConsoleReader, stopAt point: String
    ) throws -> VMM {
      try Scene.daemons(bench, plan)
      let source = try bench.startGuest(plan, console: console)
      let claimant = try bench.startVMM(plan, stopAt: point)
      try Wait.until("the claimant's standstill") { claimant.process.isStopped ? () : nil }
      try #require(bench.registry).kill()
      source.process.kill()
      try Files.remove(bench.journal)
      // Time enough for the claimant to come before it is over.
      try bench.startRegistry(["--quiet", "--settle-ms", "2500"])
      claimant.process.signal(18)
      return claimant
    }

    @Test(
      "with the source gone leaves the guest to the claimant that has its context",
      arguments: Custody.allCases)
    func received(_ custody: Custody) throws {
      try Workbench.use { bench in
        let console = try ConsoleReader()
        let claimant = try orphan(bench, custody.plan, console, stopAt: "successorContextReceived")
        try bench.waitForGuest("vm1", "is with the claimant") {
          $0.state == .running && $0.owner?.processId == claimant.pid
        }
        try Scene.expectWhole(claimant, console)
        let (next, handoff) = try bench.handOver(custody.plan)
        #expect(handoff.outcome == .committed)
        try Scene.expectWhole(next, console)
      }
    }

    @Test(
      "with the source gone and the baton not used leaves the guest to the claimant as long as its context is there",
      arguments: Custody.allCases)
    func claimed(_ custody: Custody) throws {
      try Workbench.use { bench in
        let console = try ConsoleReader()
        let claimant = try orphan(bench, custody.plan, console, stopAt: "successorClaimed")
        // With custody the claimant has a descriptor of the source's VM among those that were offered.
        if custody != .tokenWithoutCustody {
          try bench.waitForGuest("vm1", "is with the claimant") {
            $0.state == .running && $0.owner?.processId == claimant.pid
          }
          try Scene.expectWhole(claimant, console)
        } else {
          // The last reference to the source's VM went with its process, and the token with it. The registry
          // never heard of the guest, and its source might still have come: it says nothing of it.
          #expect(try claimant.wait(for: "refused").refusal == "batonUnknown")
          #expect(try claimant.process.waitForEnd() != .exited(status: 0))
          #expect(try claimant.last("running") == nil)
          #expect(try bench.client().guests().isEmpty)
        }
      }
    }

    @Test("with the source gone and a claimant that is silent raises an alarm, and nobody is ended")
    func silentClaimant() throws {
      try Workbench.use { bench in
        try bench.startRegistry(ScriptedOwner.options + ["--settle-ms", "800", "--claim-ms", "300"])
        // A claimant with a baton of a registry before this one.
        let claimant = try RecordPeer(path: bench.handoffSocket)
        try claimant.send(.hello(RecordPeer.hello("vm9", .claiming(7))))
        let guest = try bench.waitForGuest("vm9", "has an alarm") { $0.alarm != nil }
        #expect(guest.state == .claimed)
        #expect(guest.owner == nil)
        let sentence = guest.alarm?.sentence ?? ""
        #expect(sentence.contains("process \(ThisProcess.pid) has the baton of handoff 7"))
        #expect(guest.alarm?.command == "kill -CONT \(ThisProcess.pid)")
        let listed = try bench.batonctl(["list"])
        #expect(listed.status == 0)
        #expect(listed.output.contains("alarm vm9: "))
        #expect(listed.output.contains("kill -CONT \(ThisProcess.pid)"))
        // Not once, and not until somebody did something about it.
        Wait.pause(milliseconds: 1_000)
        let metrics: MetricsReply = try bench.client().ask(.metrics, NoParameters())
        #expect(metrics.counters.alarms == 1)
        #expect(metrics.counters.fencedProcesses == 0)
        #expect(try bench.guest("vm9").alarm == guest.alarm)
        // A newcomer does not get the guest meanwhile.
        var plan = Scene.plan()
        plan.name = "vm9"
        let newcomer = try bench.startVMM(plan)
        #expect(try newcomer.wait(for: "refused").refusal == "secondSuccessor")
        // The claimant wakes up.
        try claimant.send(.received(handoff: 7))
        let epoch = try claimant.awaitMessage("the verdict") {
          if case .run(let epoch) = $0 { epoch } else { nil }
        }
        try claimant.send(.running(epoch: epoch, firstInstruction: 0))
        try bench.waitForGuest("vm9", "runs without alarm") { $0.state == .running && $0.alarm == nil }
      }
    }

    @Test("while the registry runs is missed only by the next one")
    func whileRunning() throws {
      try Workbench.use { bench in
        try bench.startRegistry(["--quiet"])
        let console = try ConsoleReader()
        let first = try bench.startGuest(Scene.plan(), console: console)
        try Files.remove(bench.journal)
        let (second, handoff) = try bench.handOver(Scene.plan())
        #expect(handoff.outcome == .committed)
        #expect(try first.process.waitForEnd() == .exited(status: 0))
        try #require(bench.registry).kill()
        try bench.startRegistry(["--quiet"])
        try bench.waitForGuest("vm1", "is known again") {
          $0.state == .running && $0.owner?.processId == second.pid && $0.epoch == 2
        }
        let (third, again) = try bench.handOver(Scene.plan())
        #expect(again.outcome == .committed)
        #expect(again.number > handoff.number)
        try Scene.expectWhole(third, console)
      }
    }
  }
}
