import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite.MoveTests {
  /// Private memory is really encrypted, by the page's place in its file: only who has the guest's key *and* the
  /// guest's own pages sees what the guest wrote.
  @Suite("A guest whose memory is really encrypted")
  struct MoveCiphertextTests {
    private static func plan(_ way: String) -> GuestPlan {
      var plan = GuestPlan("vm1", memory: "16M", protection: .model)
      plan.handoff = way
      return plan
    }

    /// Waits until the guest has read so many pages more.
    private static func waitForChecks(_ vmm: VMM, more: UInt64 = 200) throws {
      let first = try vmm.verdict().pagesChecked
      try Wait.until("\(more) more checked pages of \(vmm.process.name)", seconds: 60) {
        try vmm.verdict().pagesChecked >= first + more ? () : nil
      }
    }

    @Test("is handed over by each way and reads its own pages", arguments: ["token", "move"], [false, true])
    func handedOver(_ way: String, _ encryptsState: Bool) throws {
      try Workbench.use { bench in
        var plan = Self.plan(way)
        plan.encryptsState = encryptsState
        try bench.startRegistry(["--quiet"])
        try bench.startModel(["--ciphertext", "--es-asids", "16"])
        let console = try ConsoleReader()
        var owner = try bench.startGuest(plan, console: console)
        plan.encryptsState = false
        for _ in 1...2 {
          try Self.waitForChecks(owner)
          let (successor, handoff) = try bench.handOver(plan)
          #expect(handoff.outcome == .committed)
          #expect(handoff.way.rawValue == way)
          try successor.wait(for: "running")
          owner = successor
        }
        try Self.waitForChecks(owner)
        try Scene.expectWhole(owner, console)
      }
    }

    @Test("reads its own pages after it was taken back", arguments: ["token", "move"])
    func takenBack(_ way: String) throws {
      try Workbench.use { bench in
        let plan = Self.plan(way)
        try bench.startRegistry(["--quiet"])
        try bench.startModel(["--ciphertext"])
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        try Self.waitForChecks(source)
        let successor = try bench.startVMM(plan, crashAt: "successorClaimed")
        #expect(try successor.process.waitForEnd() == .signalled(9))
        try bench.waitForGuest("vm1", "is back at its source") {
          $0.state == .running && $0.handoff == nil && $0.owner?.processId == source.pid
        }
        try Self.waitForChecks(source)
        try Scene.expectWhole(source, console)
      }
    }

    @Test(
      "is garbage in a copy of its RAM, and would not be if it were not encrypted",
      arguments: [["--ciphertext"], []])
    func copied(_ model: [String]) throws {
      try Workbench.use { bench in
        let plan = Self.plan("move")
        try bench.startRegistry(["--quiet"])
        try bench.startModel(model)
        let source = try bench.startGuest(plan)
        try Self.waitForChecks(source)
        let (successor, handoff) = try bench.handOver(plan, extra: ["--misbehave", "copy-ram"])
        #expect(handoff.outcome == .committed)
        try successor.wait(for: "running")
        if model.isEmpty {
          try Self.waitForChecks(successor)
          #expect(try successor.verdict().problems == [])
        } else {
          try Wait.until("wrong pages", seconds: 60) {
            try successor.verdict().pageErrors > 0 ? () : nil
          }
        }
      }
    }
  }
}
