import BatonWire
import Harness
import LinuxOS
import RegistryInterface
import Testing

/// Every test with processes is in here, so that one runs after the other: they are heavy.
@Suite("Baton over real processes", .serialized)
struct IntegrationSuite {}

/// What the tests of this target share.
enum Scene {
  /// A guest that is small and does not take the whole machine.
  static func plan(_ protection: GuestPlan.Protection = .none, custody: Bool = true) -> GuestPlan {
    var plan = GuestPlan("vm1", memory: "16M", protection: protection)
    plan.duty = 30
    plan.hasCustody = custody
    return plan
  }

  /// A registry, and a model when the guest needs one.
  static func daemons(_ bench: Workbench, _ plan: GuestPlan, options: [String] = [], crashAt: String? = nil)
    throws
  {
    try bench.startRegistry(["--quiet"] + options, crashAt: crashAt)
    if plan.protection == .model { try bench.startModel() }
  }

  /// The one process in which the guest's counter goes up.
  ///
  /// The verdict may be on its way to it, so this waits until there is one.
  ///
  /// - Throws: ``HarnessFailure`` when it is none, or more than one says that it runs the guest.
  static func runner(of vmms: [VMM]) throws -> VMM {
    // A VMM writes its events after it has acted, so for a moment the last word of a source can be an old one.
    try Wait.until("the one process that runs the guest", seconds: 60) {
      // One that answers has written all that it did before.
      let found = try owners(vmms).filter { try (try? $0.isGuestRunning()) == true && isOwner($0) }
      guard found.count <= 1 else { throw HarnessFailure("\(found.count) processes run the guest, one must") }
      return found.first
    }
  }

  private static func owners(_ vmms: [VMM]) throws -> [VMM] {
    try vmms.filter { try $0.process.isAlive && !$0.process.isStopped && isOwner($0) }
  }

  /// Whether its last word about running is that it does.
  static func isOwner(_ vmm: VMM) throws -> Bool {
    let words = try vmm.said().filter { ["running", "staged", "released", "ended"].contains($0.event) }
    return words.last?.event == "running"
  }

  /// Checks that a timeline tells its phases in their order, each beginning where the one before ended or
  /// later.
  static func expectOrdered(_ handoffs: [Handoff]) {
    for handoff in handoffs {
      let names = handoff.phases.map { PhaseName.allCases.firstIndex(of: $0.name) ?? -1 }
      let words = handoff.phases.map {
        "\($0.name) \($0.startMicroseconds)+\($0.durationMicroseconds ?? 0)"
      }
      #expect(zip(names, names.dropFirst()).allSatisfy { $0 < $1 }, "\(words)")
      // The release of the source goes on beside the run of the successor.
      let paired = zip(handoff.phases, handoff.phases.dropFirst()).filter { $1.name != .release }
      #expect(
        paired.allSatisfy {
          $0.startMicroseconds + ($0.durationMicroseconds ?? 0) <= $1.startMicroseconds + 1
        }, "\(words)")
    }
  }

  /// Checks that nothing of the guest was lost on the way.
  static func expectWhole(_ vmm: VMM, _ console: ConsoleReader) throws {
    #expect(console.advances())
    #expect(console.fault == nil)
    let verdict = try vmm.verdict()
    #expect(verdict.pageErrors == 0)
    #expect(verdict.problems == [])
  }
}
