import BatonWire
import MigrationCore
import RemoteMigration
import Testing

@Suite("The pause of a plan")
struct PlannedPauseTests {
  @Test("has in it what a step of the target's registry takes, and is told in microseconds too")
  func registry() throws {
    let target = try FakeTargetGuest()
    let rehearsal = Rehearsal(try FakeSourceGuest(), target)
    rehearsal.request.isPlanOnly = true
    rehearsal.answer = { incoming, _ throws(MigrationFailure) in
      var facts = TargetFacts.withoutEncryption()
      facts.registryNanoseconds = 50_000_000
      try incoming.accept(target, facts)
    }
    let plan = try #require(try rehearsal.run().plan)
    // Once more a connection and a record, and three records on it.
    #expect(plan.expectedPauseMilliseconds >= 150)
    // The same, but for rounding.
    let fromMicroseconds = plan.expectedPauseMicroseconds / 1000
    #expect(fromMicroseconds...fromMicroseconds + 1 ~= plan.expectedPauseMilliseconds)
  }
}
