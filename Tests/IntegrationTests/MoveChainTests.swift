import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite.MoveTests {
  @Suite("A chain of handoffs by different ways")
  struct MoveChainTests {
    /// - Parameter encryptsState: SEV-ES; only the first owner is told.
    private func chain(_ ways: [String], encryptsState: Bool, model: [String]) throws {
      try Workbench.use { bench in
        var plan = Scene.plan(.model)
        plan.disk = "\(bench.directory)/disk.img"
        try bench.startRegistry(["--quiet"])
        try bench.startModel(model)
        let console = try ConsoleReader()
        plan.handoff = ways[0]
        plan.encryptsState = encryptsState
        var owner = try bench.startGuest(plan, console: console)
        plan.encryptsState = false
        console.closeWriteEnd()
        for (number, way) in ways.enumerated() {
          #expect(console.advances())
          plan.handoff = ways[(number + 1) % ways.count]
          let (successor, handoff) = try bench.handOver(plan)
          #expect(handoff.outcome == .committed)
          #expect(handoff.way.rawValue == way)
          #expect(try owner.last("offered")?.way == way)
          try successor.wait(for: "running")
          #expect(try owner.process.waitForEnd() == .exited(status: 0))
          #expect(try successor.report().guestState == 3, "the firmware must know it as running")
          owner = successor
        }
        try Scene.expectWhole(owner, console)
        // Its end unregisters the memory by the first owner's address; a failure would be said.
        owner.process.signal(15)
        #expect(try owner.process.waitForEnd() == .exited(status: 0))
        #expect(!owner.process.logTail().contains("could not be unregistered"))
        #expect(console.fault == nil)
      }
    }

    @Test("by move alone takes a guest through six processes")
    func move() throws {
      try chain(["move", "move", "move", "move", "move"], encryptsState: false, model: [])
    }

    @Test("alternates token and move")
    func alternating() throws {
      try chain(["token", "move", "token", "move"], encryptsState: false, model: [])
    }

    @Test(
      "takes a SEV-ES guest along by both ways",
      arguments: [["token", "token"], ["move", "move"], ["move", "token", "token", "move"]])
    func encryptedState(_ ways: [String]) throws {
      try chain(ways, encryptsState: true, model: ["--es-asids", "16"])
    }

    @Test(
      "takes a SEV-ES guest back by both ways, with move also out of a dead successor's VM",
      arguments: [
        ["token", "successorClaimed"], ["move", "successorClaimed"], ["move", "successorContextReceived"],
      ])
    func encryptedStateTakenBack(_ words: [String]) throws {
      try Workbench.use { bench in
        var plan = Scene.plan(.model)
        plan.handoff = words[0]
        plan.encryptsState = true
        try bench.startRegistry(["--quiet"])
        try bench.startModel(["--es-asids", "16"])
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        plan.encryptsState = false
        let successor = try bench.startVMM(plan, crashAt: words[1])
        #expect(try successor.process.waitForEnd() == .signalled(9), "the crash point was not reached")
        try bench.waitForGuest("vm1", "is back at its source") {
          $0.state == .running && $0.handoff == nil && $0.owner?.processId == source.pid
        }
        #expect(try Scene.runner(of: [source, successor]) === source)
        try Scene.expectHandable(bench, plan, source, console)
      }
    }

    static let kernels = [
      (profile: "rfc", way: "token"), (profile: "mainline-5.16", way: "move"),
      (profile: "mainline-6.11", way: "move"),
    ]

    @Test("goes by what the kernel offers when it is left to the VMM", arguments: 0..<kernels.count)
    func automatic(_ index: Int) throws {
      let (profile, way) = Self.kernels[index]
      try Workbench.use { bench in
        var plan = Scene.plan(.model)
        plan.handoff = "auto"
        try bench.startRegistry(["--quiet"])
        try bench.startModel(["--profile", profile])
        let source = try bench.startGuest(plan)
        let preflight: PreflightReply = try bench.client().ask(
          .preflight, PreflightRequest(guest: plan.name))
        let check = try #require(preflight.checks.first { $0.name == "way" })
        #expect(check.detail.hasPrefix("\(way): "))
        #expect(check.detail.contains("command 23"), "it says by what it was found out")
        let (successor, handoff) = try bench.handOver(plan)
        #expect(handoff.outcome == .committed)
        #expect(handoff.way.rawValue == way)
        #expect(try source.process.waitForEnd() == .exited(status: 0))
        #expect(try successor.isGuestRunning())
      }
    }

    @Test(
      "does not begin by a way that the kernel has not",
      arguments: [["token", "--profile", "mainline-5.16"], ["move", "--no-move"]])
    func unavailable(_ words: [String]) throws {
      try Workbench.use { bench in
        var plan = Scene.plan(.model)
        plan.handoff = words[0]
        try bench.startRegistry(["--quiet"])
        try bench.startModel(Array(words.dropFirst()))
        let vmm = try bench.startVMM(plan)
        #expect(try vmm.process.waitForEnd() == .exited(status: 1))
        #expect(try vmm.last("running") == nil)
        #expect(vmm.process.logTail().contains("use --handoff"))
      }
    }
  }
}
