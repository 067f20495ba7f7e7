import BatonWire
import MigrationCore
import Testing

@testable import RemoteMigration

@Suite("A source that is kept waiting, or told of too much")
struct OutgoingLimitsTests {
  @Test("gives the target a minute for each 16 GiB of RAM to answer the offer, and for nothing else")
  func offering() {
    let gibibyte: UInt64 = 1 << 30
    let second: UInt64 = 1_000_000_000
    for (ram, seconds): (UInt64, UInt64) in [(0, 100), (15, 100), (16, 160), (100, 460), (4096, 15_460)] {
      #expect(OutgoingMigration.Stage.offering.deadline(ram: ram * gibibyte) == seconds * second)
    }
    let others: [OutgoingMigration.Stage] = [
      .connecting, .greeting, .settingUp, .copying, .draining, .stopping, .lastRound, .closing, .departing,
      .receipt, .over,
    ]
    for stage in others { #expect(stage.deadline(ram: 0) == stage.deadline(ram: 4096 * gibibyte)) }
  }

  @Test("looks at no page that a guest names and does not have")
  func hugeRange() throws {
    let device = FakeSourceDevice()
    let rehearsal = try Rehearsal(
      FakeSourceGuest(encryption: device), FakeTargetGuest(encryption: FakeTargetDevice()))
    rehearsal.kind = .sev
    rehearsal.relay = { number, frame in
      if number == 4 { device.name(1 << 20..<1 << 60) }
      return [frame]
    }
    let outcome = try rehearsal.run()
    #expect(outcome.sourceFailure == nil && outcome.first != nil)
  }
}
