import Harness
import LinuxOS
import RegistryInterface
import Testing

/// A guest that is handed over by `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`, and which of its VMs the registry keeps.
enum MoveCustody: String, CaseIterable, Sendable {
  /// The source's, its take-back VM, the successor's.
  case all
  /// The source's alone, which is the baton.
  case sourceOnly

  var plan: GuestPlan {
    var plan = Scene.plan(.model, custody: self == .all)
    plan.handoff = "move"
    return plan
  }
}

extension IntegrationSuite {
  /// Way `move`, with the failure table's rows as real processes show them.
  @Suite("A guest that is moved by its VM's descriptor")
  struct MoveTests {
    /// Waits until the handoff is over and the guest is where it has to be.
    static func settle(
      _ bench: Workbench, _ rest: Rest, _ source: VMM, _ successor: VMM, _ what: String
    ) throws -> Guest {
      try bench.waitForGuest("vm1", "at rest after \(what): \(rest)") {
        $0.handoff == nil && rest.holds($0, source: source.pid, successor: successor.pid)
      }
    }

    /// Checks that the guest is whole where it runs now, and that it can be handed over once more.
    static func expectHandable(
      _ bench: Workbench, _ plan: GuestPlan, _ owner: VMM, _ console: ConsoleReader
    ) throws {
      try Scene.expectWhole(owner, console)
      #expect(try owner.report().guestState == 3, "the firmware must know it as running")
      let (next, handoff) = try bench.handOver(plan)
      #expect(handoff.outcome == .committed)
      try Scene.expectWhole(next, console)
    }
  }
}
