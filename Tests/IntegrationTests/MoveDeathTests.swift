import Harness
import LinuxOS
import RegistryInterface
import Testing

extension IntegrationSuite.MoveTests {
  /// The failure table's rows of way `move`. Every process is killed as by `kill -9`.
  @Suite("A death during a move")
  struct MoveDeathTests {
    /// What the death of the source leads to: the registry always has its VM once it is staged.
    static let sourceDeaths: [(point: String, rest: Rest)] = [
      ("sourcePrepare", .ended), ("sourceOffered", .ended), ("sourceFrozen", .ended),
      ("sourceStaged", .atSuccessor), ("sourceReleased", .atSuccessor),
    ]

    @Test(
      "of the source ends as the failure table says", arguments: 0..<sourceDeaths.count,
      MoveCustody.allCases)
    func source(_ index: Int, _ custody: MoveCustody) throws {
      let (point, rest) = Self.sourceDeaths[index]
      try Workbench.use { bench in
        let plan = custody.plan
        try Scene.daemons(bench, plan)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console, crashAt: point)
        let successor = try bench.startVMM(plan)
        #expect(try source.process.waitForEnd() == .signalled(9), "the crash point was not reached")
        let guest = try Scene.settle(bench, rest, source, successor, "\(point) \(custody)")
        if guest.state == .running { try Scene.expectHandable(bench, plan, successor, console) }
      }
    }

    /// What the death of the successor leads to.
    static let successorDeaths: [(point: String, rest: @Sendable (MoveCustody) -> Rest)] = [
      ("successorOffered", { _ in .atSource }),
      ("successorReady", { _ in .atSource }),
      ("successorClaimed", { _ in .atSource }),
      // The context is in the dead one's VM: in custody, or gone.
      ("successorContextReceived", { $0 == .all ? .atSource : .lost }),
      // The record of the receive and the death race: the commit needs a living successor.
      ("successorReceived", { .either([$0 == .all ? .atSource : .lost, .ended]) }),
      ("successorRunning", { _ in .ended }),
    ]

    @Test(
      "of the successor ends as the failure table says", arguments: 0..<successorDeaths.count,
      MoveCustody.allCases)
    func successor(_ index: Int, _ custody: MoveCustody) throws {
      let (point, rest) = Self.successorDeaths[index]
      try Scene.successorDies(custody.plan, at: point, rest: rest(custody), "\(point) \(custody)")
    }

    @Test(
      "of source and claimant leaves the guest in custody, and the next claimant takes it from the dead one's VM"
    )
    func both() throws {
      try Workbench.use { bench in
        let plan = MoveCustody.all.plan
        try Scene.daemons(bench, plan)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console, crashAt: "sourceStaged")
        let successor = try bench.startVMM(plan, crashAt: "successorContextReceived")
        #expect(try source.process.waitForEnd() == .signalled(9))
        #expect(try successor.process.waitForEnd() == .signalled(9))
        try bench.waitForGuest("vm1", "waits in custody") { $0.state == .waiting }
        let next = try bench.startVMM(plan)
        try next.wait(for: "running")
        try Scene.expectHandable(bench, plan, next, console)
      }
    }

    @Test(
      "of a source that took back leaves the guest to the next claimant exactly when its take-back VM is in custody",
      arguments: MoveCustody.allCases)
    func sourceTookBack(_ custody: MoveCustody) throws {
      try Workbench.use { bench in
        let plan = custody.plan
        try Scene.daemons(bench, plan)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console, crashAt: "sourceTookBack")
        let successor = try bench.startVMM(plan, crashAt: "successorClaimed")
        #expect(try source.process.waitForEnd() == .signalled(9))
        #expect(try successor.process.waitForEnd() == .signalled(9))
        try bench.waitForGuest("vm1", "waits in custody") { $0.state == .waiting }
        let next = try bench.startVMM(plan)
        switch custody {
        case .all:
          try next.wait(for: "running")
          try Scene.expectHandable(bench, plan, next, console)
        case .sourceOnly:
          try bench.waitForGuest("vm1", "is lost") { $0.state == .lost }
          #expect(try next.process.waitForEnd() != .exited(status: 0))
          #expect(try next.last("running") == nil)
        }
      }
    }

    /// The crash points of the registry that a handoff without failures passes.
    static let registryPoints = [
      "afterPrepareSent", "afterOfferKept", "afterOfferedSent", "afterFreezeSent", "beforeJournalStaged",
      "afterJournalStaged", "afterJournalClaimed", "afterClaimSent", "beforeJournalCommit",
      "afterJournalCommit", "afterReleaseSent",
    ]

    @Test("of the registry loses nothing", arguments: registryPoints, MoveCustody.allCases)
    func registry(_ point: String, _ custody: MoveCustody) throws {
      try Workbench.use { bench in
        let plan = custody.plan
        let (owner, console) = try Scene.registryDies(bench, plan, at: point)
        try Scene.expectHandable(bench, plan, owner, console)
      }
    }

    @Test(
      "of the registry during a taking back loses nothing",
      arguments: ["afterJournalRollback", "afterTakeBackSent", "afterJournalTakenBack"], MoveCustody.allCases)
    func rollback(_ point: String, _ custody: MoveCustody) throws {
      try Workbench.use { bench in
        let plan = custody.plan
        try Scene.daemons(bench, plan, crashAt: point)
        let registry = try #require(bench.registry)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console)
        let successor = try bench.startVMM(plan, crashAt: "successorClaimed")
        #expect(try registry.waitForEnd() == .signalled(9), "the crash point was not reached")
        try bench.startRegistry(["--quiet"])
        try Scene.expectTakenBack(bench, by: source, from: successor)
        try Scene.expectHandable(bench, plan, source, console)
      }
    }
  }
}
