import BatonWire
import Testing

@testable import BatonCore

@Suite("A guest that is over")
struct ForgettingTests {
  /// A guest whose owner has said that it ended, in epoch 2 after one handoff.
  private func ended() throws -> TestGuest {
    var guest = try TestGuest(way: .none)
    try guest.go(to: .committed)
    guest.take(.died(TestGuest.source))
    guest.say(TestGuest.successor, .ended(2))
    #expect(guest.record?.phase == .ended)
    return guest
  }

  @Test("is forgotten once its last process is seen dead, and not before")
  func forgotten() throws {
    var guest = try ended()
    let tooEarly = guest.registry.forget(guest.name)
    #expect(!tooEarly)
    guest.take(.died(TestGuest.successor))
    let isForgotten = guest.registry.forget(guest.name)
    #expect(isForgotten)
    #expect(guest.record == nil)
    #expect(guest.registry.forgotten == ForgottenNumbers(epoch: 2, handoff: 1))
    let isForgottenAgain = guest.registry.forget(guest.name)
    #expect(!isForgottenAgain)
  }

  @Test("is not forgotten as long as it runs, is paused, or somebody may have it")
  func kept() throws {
    for column in TestGuest.Column.allCases {
      var guest = try TestGuest(way: .none)
      try guest.go(to: column)
      let isForgotten = guest.registry.forget(guest.name)
      #expect(!isForgotten, "\(column)")
      #expect(guest.record != nil)
    }
  }

  @Test("and forgotten leaves its numbers behind: no guest that begins later uses them again")
  func numbers() throws {
    var guest = try ended()
    guest.take(.died(TestGuest.successor))
    let isForgotten = guest.registry.forget(guest.name)
    #expect(isForgotten)
    guest.forget()
    guest.hello(TestGuest.next, .fresh)
    #expect(guest.record?.epoch == 3)
    #expect(guest.record?.handoff == 1)
    #expect(guest.effects.contains(.send(.run(epoch: 3), to: TestGuest.next)))
    // A successor of the life before that has mapped its RAM is not taken for one that has mapped this one's.
    guest.say(TestGuest.next, .running(3, firstInstruction: 1))
    guest.hello(TestGuest.successor, .attach(prepared: 1))
    #expect(guest.record?.handoff == 2)
  }

  @Test("and forgotten is as unknown as one that never was")
  func unknown() throws {
    var guest = try ended()
    guest.take(.died(TestGuest.successor))
    let isForgotten5 = guest.registry.forget(guest.name)
    #expect(isForgotten5)
    for report in [Report.claiming(1), .received(1), .refused(1, used: true, returned: nil)] {
      #expect(guest.hello(TestGuest.next, report) == [.refuse(TestGuest.next, .batonUnknown)])
    }
    #expect(
      guest.hello(TestGuest.next, .attach(prepared: 1)) == [.refuse(TestGuest.next, .unknownGuest)])
    #expect(guest.take(.died(TestGuest.next)).isEmpty)
  }

  @Test("with numbers that nobody can have counted takes them away from nobody")
  func claimedNumbers() throws {
    var registry = Registry(isSettling: false)
    let name = try #require(GuestName("vm1"))
    _ = registry.handle(
      .hello(
        TestGuest.source, .running(Standing.largestNumber, firstInstruction: 0), reads: TestGuest.reads,
        manifest: nil, isAlive: true), for: name)
    _ = registry.handle(.died(TestGuest.source), for: name)
    let isForgotten = registry.forget(name)
    #expect(isForgotten)
    #expect(registry.forgotten == ForgottenNumbers())
  }
}
