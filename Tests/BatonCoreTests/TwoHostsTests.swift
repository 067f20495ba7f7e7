import BatonCore
import BatonWire
import Testing

@Suite("A migration between two registries")
struct TwoHostsTests {
  @Test("moves the guest when nothing goes wrong, in any order of deliveries")
  func withoutFaults() throws {
    for seed: UInt64 in 0..<200 {
      var hosts = try TwoHosts(seed: seed, faults: 0)
      try hosts.run()
      let north = try #require(hosts.hosts[.north]?.journal)
      let south = try #require(hosts.hosts[.south]?.journal)
      #expect(north.phase == .departed && north.migration?.course == .confirmed)
      #expect(south.phase == .idle && south.migration?.course == .came)
      #expect(south.epoch == north.epoch + 1)
    }
  }

  @Test(
    "never has two owners, runs nothing that was not given up, and loses nothing that could be kept",
    arguments: 1...4)
  func withFaults(_ faults: Int) throws {
    var seen: Set<TwoHosts.Fault> = []
    var ends: [GuestRecord.Phase: Int] = [:]
    for seed: UInt64 in 0..<1_500 {
      var hosts = try TwoHosts(seed: seed &* 31 &+ UInt64(faults), faults: faults)
      try hosts.run()
      seen.formUnion(hosts.faultsSeen)
      if let phase = hosts.hosts[.north]?.journal?.phase { ends[phase, default: 0] += 1 }
    }
    #expect(seen == Set(TwoHosts.Fault.allCases), "every fault was tried")
    #expect(ends[.idle, default: 0] > 10 && ends[.departed, default: 0] > 10 && ends[.ended, default: 0] > 10)
  }

  @Test("is checked well enough to notice each breakage", arguments: TwoHosts.Breakage.allCases)
  func breakages(_ breakage: TwoHosts.Breakage) throws {
    for seed: UInt64 in 0..<4_000 {
      var hosts = try TwoHosts(seed: seed, faults: 3, breakage: breakage)
      do throws(TwoHosts.Violation) { try hosts.run() } catch { return }
    }
    Issue.record("nothing noticed \(breakage)")
  }
}
