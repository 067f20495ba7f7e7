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
  static func daemons(_ bench: Workbench, _ plan: GuestPlan, options: [String] = [], crashAt: String? = nil) throws {
    try bench.startRegistry(["--quiet"] + options, crashAt: crashAt)
    if plan.protection == .model { try bench.startModel() }
  }

  /// The one process in which the guest's counter goes up.
  ///
  /// - Throws: ``HarnessFailure`` when it is none, or more than one says that it runs the guest.
  static func runner(of vmms: [VMM]) throws -> VMM {
    var running: [VMM] = []
    for vmm in vmms where vmm.process.isAlive && !vmm.process.isStopped {
      guard try isOwner(vmm) else { continue }
      if try vmm.isGuestRunning() { running.append(vmm) }
    }
    guard let only = running.first, running.count == 1 else {
      throw HarnessFailure("\(running.count) processes run the guest, one must")
    }
    return only
  }

  /// Whether its last word about running is that it does.
  static func isOwner(_ vmm: VMM) throws -> Bool {
    let words = try vmm.said().filter { ["running", "staged", "released", "ended"].contains($0.event) }
    return words.last?.event == "running"
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
