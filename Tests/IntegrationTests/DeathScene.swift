import Harness
import LinuxOS
import RegistryInterface
import Testing

/// What the tests of deaths share, whatever way the guest goes.
extension Scene {
  /// Waits until the handoff is over and the guest is where it has to be.
  static func settle(
    _ bench: Workbench, _ rest: Rest, _ source: VMM, _ successor: VMM, _ what: String
  ) throws -> Guest {
    try bench.waitForGuest("vm1", "at rest after \(what): \(rest)") {
      $0.handoff == nil && rest.holds($0, source: source.pid, successor: successor.pid)
    }
  }

  /// Kills the successor at a crash point; the guest ends as the failure table says, and can be handed over if it runs.
  static func successorDies(_ plan: GuestPlan, at point: String, rest: Rest, _ what: String) throws {
    try Workbench.use { bench in
      try daemons(bench, plan)
      let console = try ConsoleReader()
      let source = try bench.startGuest(plan, console: console)
      let successor = try bench.startVMM(plan, crashAt: point)
      #expect(try successor.process.waitForEnd() == .signalled(9), "the crash point was not reached")
      let guest = try settle(bench, rest, source, successor, what)
      guard guest.state == .running else { return }
      #expect(try runner(of: [source, successor]) === source)
      try expectHandable(bench, plan, source, console)
    }
  }

  /// Kills the registry at a crash point of a handoff, and starts it again.
  ///
  /// - Parameter meanwhile: What happens while it is gone.
  /// - Returns: The VMM that has the guest afterwards, and the guest's console.
  static func registryDies(
    _ bench: Workbench, _ plan: GuestPlan, at point: String, meanwhile: () throws -> Void = {}
  ) throws -> (owner: VMM, console: ConsoleReader) {
    try daemons(bench, plan, crashAt: point)
    let registry = try #require(bench.registry)
    let console = try ConsoleReader()
    let source = try bench.startGuest(plan, console: console)
    let successor = try bench.startVMM(plan)
    #expect(try registry.waitForEnd() == .signalled(9), "the crash point was not reached")
    try meanwhile()
    try bench.startRegistry(["--quiet"])
    return (try settledOwner(bench, source, successor, after: point), console)
  }

  /// Waits until no handoff is under way and one of the two has the guest.
  ///
  /// - Returns: The one that has it, in which the guest was seen to run.
  static func settledOwner(
    _ bench: Workbench, _ source: VMM, _ successor: VMM, after point: String
  ) throws -> VMM {
    let guest = try bench.waitForGuest("vm1", "runs in one process after \(point)") {
      guard $0.state == .running, $0.handoff == nil, let owner = $0.owner?.processId else { return false }
      return owner == successor.pid || (owner == source.pid && !successor.process.isAlive)
    }
    let owner = guest.owner?.processId == source.pid ? source : successor
    #expect(try runner(of: [source, successor]) === owner)
    return owner
  }

  /// Waits until the source has the guest again, after the registry died and came back.
  static func expectTakenBack(_ bench: Workbench, by source: VMM, from successor: VMM) throws {
    try bench.waitForGuest("vm1", "is back at its source") {
      $0.state == .running && $0.owner?.processId == source.pid
    }
    #expect(!successor.process.isAlive)
    #expect(try runner(of: [source, successor]) === source)
  }

  /// Checks that the guest is whole where it runs now, and that it can be handed over once more.
  static func expectHandable(
    _ bench: Workbench, _ plan: GuestPlan, _ owner: VMM, _ console: ConsoleReader
  ) throws {
    try expectWhole(owner, console)
    if plan.protection == .model {
      #expect(try owner.report().guestState == 3, "the firmware must know it as running")
    }
    let (next, handoff) = try bench.handOver(plan)
    #expect(handoff.outcome == .committed)
    try expectWhole(next, console)
  }
}
