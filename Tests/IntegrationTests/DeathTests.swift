import Harness
import LinuxOS
import RegistryInterface
import Testing

/// How a guest moves, and what the registry keeps of it meanwhile.
enum Custody: String, CaseIterable, Sendable {
  case tokenInCustody, tokenWithoutCustody, plain

  var plan: GuestPlan {
    switch self {
    case .tokenInCustody: Scene.plan(.model)
    case .tokenWithoutCustody: Scene.plan(.model, custody: false)
    case .plain: Scene.plan(.none)
    }
  }
}

/// Where a guest is once everything has come to rest after a death.
enum Rest: Hashable, Sendable {
  case atSource, atSuccessor, ended, lost
  /// Where the race between a death and a record decides, each of these is right.
  case either([Rest])

  func holds(_ guest: Guest, source: Int32, successor: Int32) -> Bool {
    switch self {
    case .atSource: guest.state == .running && guest.owner?.processId == source
    case .atSuccessor: guest.state == .running && guest.owner?.processId == successor
    case .ended: guest.state == .ended
    case .lost: guest.state == .lost
    case .either(let rests): rests.contains { $0.holds(guest, source: source, successor: successor) }
    }
  }
}

extension IntegrationSuite {
  /// The failure table of the design, one line for each crash point. Every process is killed as by `kill -9`.
  @Suite("A death during a handoff")
  struct DeathTests {
    /// What the death of the source leads to.
    static let sourceDeaths: [(point: String, rest: @Sendable (Custody) -> Rest)] = [
      ("sourcePrepare", { _ in .ended }),
      ("sourceOffered", { _ in .ended }),
      ("sourceFrozen", { _ in .ended }),
      ("sourceContextSent", { _ in .ended }),
      // Staged: custody keeps the guest. Without it the receive has to win the race against the VM's last close.
      (
        "sourceStaged",
        { $0 == .tokenWithoutCustody ? .either([.atSuccessor, .lost]) : .atSuccessor }
      ),
      ("sourceReleased", { _ in .atSuccessor }),
    ]

    @Test("of the source ends as the failure table says", arguments: 0..<sourceDeaths.count, Custody.allCases)
    func source(_ index: Int, _ custody: Custody) throws {
      let (point, rest) = Self.sourceDeaths[index]
      if point == "sourceContextSent", custody == .plain { return }  // A plain guest has no context to send.
      try Workbench.use { bench in
        let plan = custody.plan
        try Scene.daemons(bench, plan)
        let console = try ConsoleReader()
        let source = try bench.startGuest(plan, console: console, crashAt: point)
        let successor = try bench.startVMM(plan)
        #expect(try source.process.waitForEnd() == .signalled(9), "the crash point was not reached")
        let guest = try Scene.settle(bench, rest(custody), source, successor, "\(point) \(custody)")
        if guest.state == .running { try Scene.expectWhole(successor, console) }
      }
    }

    /// What the death of the successor leads to.
    static let successorDeaths: [(point: String, rest: @Sendable (Custody) -> Rest)] = [
      ("successorOffered", { _ in .atSource }),
      ("successorReady", { _ in .atSource }),
      ("successorClaimed", { _ in .atSource }),
      // The context is in a process that is gone: a plain guest has none, a token is used up.
      ("successorContextReceived", { $0 == .plain ? .atSource : .lost }),
      // The record of the receive and the death race: the commit needs a living successor.
      (
        "successorReceived",
        { $0 == .plain ? .either([.atSource, .ended]) : .either([.lost, .ended]) }
      ),
      // Committed: as any crash of a VMM.
      ("successorRunning", { _ in .ended }),
    ]

    @Test(
      "of the successor ends as the failure table says", arguments: 0..<successorDeaths.count,
      Custody.allCases)
    func successor(_ index: Int, _ custody: Custody) throws {
      let (point, rest) = Self.successorDeaths[index]
      try Scene.successorDies(custody.plan, at: point, rest: rest(custody), "\(point) \(custody)")
    }

    @Test("of a source that used its own baton leaves the guest in custody until a claimant finds that out")
    func sourceTookBack() throws {
      try Workbench.use { bench in
        let plan = Scene.plan(.model)
        try Scene.daemons(bench, plan)
        let source = try bench.startGuest(plan, crashAt: "sourceTookBack")
        let successor = try bench.startVMM(plan, crashAt: "successorClaimed")
        #expect(try source.process.waitForEnd() == .signalled(9))
        // Whether the baton was used nobody can tell but the next one who tries it.
        try bench.waitForGuest("vm1", "waits in custody") { $0.state == .waiting || $0.state == .staged }
        #expect(!successor.process.isAlive)
        let next = try bench.startVMM(plan)
        try bench.waitForGuest("vm1", "is lost") { $0.state == .lost }
        #expect(try next.process.waitForEnd() != .exited(status: 0))
        #expect(try next.last("running") == nil)
      }
    }

    /// The crash points of the registry that a handoff without failures passes.
    static let registryPoints = [
      "afterJournalAttempt", "afterPrepareSent", "afterOfferKept", "afterOfferedSent", "afterFreezeSent",
      "beforeJournalStaged", "afterJournalStaged", "afterJournalClaimed", "afterClaimSent",
      "beforeJournalCommit", "afterJournalCommit", "afterRunSent", "afterReleaseSent",
    ]

    @Test("of the registry loses nothing", arguments: registryPoints, Custody.allCases)
    func registry(_ point: String, _ custody: Custody) throws {
      try Workbench.use { bench in
        let plan = custody.plan
        // The first owner's own verdict passes afterRunSent too.
        let (owner, console) = try Scene.registryDies(
          bench, plan, at: point == "afterRunSent" ? "\(point):2" : point)
        Scene.expectOrdered(try bench.client().describe("vm1").handoffs)
        try Scene.expectHandable(bench, plan, owner, console)
      }
    }

    /// The crash points of the registry on the way back to the source.
    static let rollbackPoints = ["afterJournalRollback", "afterTakeBackSent", "afterJournalTakenBack"]

    @Test(
      "of the registry during a taking back loses nothing", arguments: rollbackPoints, Custody.allCases)
    func rollback(_ point: String, _ custody: Custody) throws {
      // A plain guest is not ordered to take back: it runs after the claimant's seen death.
      if point == "afterTakeBackSent", custody == .plain { return }
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
        Scene.expectOrdered(try bench.client().describe("vm1").handoffs)
        try Scene.expectWhole(source, console)
      }
    }
  }
}
