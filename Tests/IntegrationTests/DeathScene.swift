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
