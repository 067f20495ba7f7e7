import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite {
  /// Every wait of the registry for a peer has an end.
  @Suite("A peer that stays silent")
  struct SilenceTests {
    @Test("instead of offering loses its successor at the deadline, and keeps its guest")
    func prepare() throws {
      try Workbench.use { bench in
        try bench.startRegistry(ScriptedOwner.options + ["--prepare-ms", "400"])
        let owner = try ScriptedOwner(bench)
        let (successor, handoff) = try attach(bench, owner)
        try expectAborted(bench, owner, successor, handoff)
      }
    }

    @Test("instead of staging loses its successor at the deadline, and keeps its guest")
    func freeze() throws {
      try Workbench.use { bench in
        try bench.startRegistry(ScriptedOwner.options + ["--freeze-ms", "400"])
        let owner = try ScriptedOwner(bench)
        let (successor, handoff) = try attach(bench, owner)
        let ram = try ScriptedRAM()
        try owner.peer.send(.offer(handoff: handoff, ram.manifest), descriptors: ram.descriptors)
        let frozen = try owner.peer.awaitMessage("freeze") {
          if case .freeze(let handoff) = $0 { handoff } else { nil }
        }
        #expect(frozen == handoff)
        try expectAborted(bench, owner, successor, handoff)
      }
    }

    @Test("to a preflight is said to be silent, and its guest runs on")
    func preflight() throws {
      try Workbench.use { bench in
        try bench.startRegistry(ScriptedOwner.options)
        let owner = try ScriptedOwner(bench)
        let reply: PreflightReply = try bench.client().ask(.preflight, PreflightRequest(guest: owner.name))
        #expect(reply.checks.map(\.name) == CheckName.allCases.map(\.rawValue))
        #expect(reply.checks.first { $0.name == "way" }?.verdict == .unknown)
        #expect(reply.checks.first { $0.name == "way" }?.detail.contains("did not answer") == true)
        try owner.expectUnchanged(bench)
      }
    }

    /// A real successor comes, and the owner is asked to prepare.
    private func attach(_ bench: Workbench, _ owner: ScriptedOwner) throws -> (VMM, UInt64) {
      var plan = Scene.plan()
      plan.name = owner.name
      let successor = try bench.startVMM(plan)
      let handoff = try owner.peer.awaitMessage("prepare") {
        if case .prepare(let handoff) = $0 { handoff } else { nil }
      }
      return (successor, handoff)
    }

    private func expectAborted(
      _ bench: Workbench, _ owner: ScriptedOwner, _ successor: VMM, _ handoff: UInt64
    ) throws {
      #expect(try successor.wait(for: "released").refusal == "deadlinePassed")
      #expect(
        try successor.process.waitForEnd()
          == .exited(status: BatonWire.Refusal.deadlinePassed.exitCode))
      #expect(try successor.last("running") == nil)
      let order = try owner.peer.awaitMessage("the order to go on") {
        if case .takeBack(let handoff) = $0 { handoff } else { nil }
      }
      #expect(order == handoff)
      let last = try bench.client().describe(owner.name).handoffs.last
      #expect(last?.outcome == .aborted)
      #expect(last?.refusal?.name == "deadlinePassed")
      try owner.peer.send(.resumed(handoff: handoff))
      try owner.expectUnchanged(bench)
    }
  }
}
