import BatonCore
import BatonWire
import Testing

@Suite("A guest whose owner asks to be parked")
struct ParkTests {
  static let source = TestGuest.source
  static let next = TestGuest.next

  /// Whether the guest can outlive its owner in each way.
  static func guest(_ way: Way) throws -> TestGuest {
    var guest = try TestGuest(way: way, hasVM: way != .none)
    guest.start()
    guest.forget()
    return guest
  }

  static func parked(_ way: Way) throws -> TestGuest {
    var guest = try guest(way)
    guest.say(source, .park(1))
    guest.say(source, .offer(1, guest.manifest))
    guest.say(source, .staged(1, TestGuest.stage))
    return guest
  }

  @Test(
    "is prepared, frozen and staged without a successor, and then its owner is let go",
    arguments: Way.allCases)
  func course(way: Way) throws {
    var guest = try Self.guest(way)
    guest.say(Self.source, .park(1))
    #expect(guest.sent.map(\.0) == [.prepare(handoff: 1)])
    guest.say(Self.source, .offer(1, guest.manifest))
    #expect(guest.sent.map(\.0) == [.prepare(handoff: 1), .freeze(handoff: 1)])
    let kept = try #require(guest.index(of: .keepDescriptors))
    let frozen = try #require(guest.index(of: .send(.freeze(handoff: 1), to: Self.source)))
    #expect(kept < frozen, "everything is in custody before the guest stops")
    guest.say(Self.source, .staged(1, TestGuest.stage))
    let staged = try #require(guest.journalled.last)
    #expect(staged.phase == .staged)
    #expect(staged.leaving == [Self.source], "a restart of the registry does not forget it")
    let written = try #require(guest.index(of: .journal(staged)))
    let released = try #require(guest.index(of: .send(.release(nil), to: Self.source)))
    #expect(written < released, "it is released when the journal says staged, not before")
    #expect(guest.machine?.isOwnerReleased == true)
  }

  @Test("waits for its next VMM, which is told that it is stopped, and takes it", arguments: Way.allCases)
  func taken(way: Way) throws {
    var guest = try Self.parked(way)
    guest.take(.died(Self.source))
    #expect(guest.outcome == .staged)
    #expect(guest.record?.leaving == [])
    guest.take(.deadline(.claim, handoff: 1))
    #expect(guest.outcome == .staged, "it waits as long as it takes")
    guest.forget()
    guest.hello(Self.next, .attach(prepared: 0))
    #expect(guest.wasSent(.offered(handoff: 1, guest.manifest, isGuestStopped: true), to: Self.next))
    guest.finishFromHere(living: [Self.next], batonIsUsed: false)
    #expect(guest.outcome == .runs(Self.next, epoch: 2))
  }

  @Test("is prepared by its next VMM while the owner ends, and claimed when that is seen dead")
  func overlapping() throws {
    var guest = try Self.parked(.token)
    guest.forget()
    guest.hello(Self.next, .attach(prepared: 0))
    guest.say(Self.next, .ready(1))
    #expect(guest.outcome == .staged)
    guest.take(.died(Self.source))
    #expect(guest.wasSent(.claim(handoff: 1, TestGuest.stage), to: Self.next))
  }

  @Test("is never taken back by an owner that was let go, whatever the operator or a deadline says")
  func neverTakenBack() throws {
    for way in Way.allCases {
      var guest = try Self.parked(way)
      guest.forget()
      guest.take(.abort)
      guest.take(.deadline(.claim, handoff: 1))
      guest.say(Self.source, .tookBack(1))
      #expect(guest.outcome == .staged)
      #expect(!guest.wasSent(.takeBack(handoff: 1), to: Self.source))
    }
  }

  @Test("whose owner does not go is rid of it by the fence, and outlives it")
  func fenced() throws {
    var guest = try Self.parked(.move)
    guest.take(.deadline(.release(Self.source), handoff: 1))
    #expect(guest.wasFenced(Self.source))
    guest.take(.died(Self.source))
    #expect(guest.outcome == .staged)
  }

  @Test("is not parked when it would end with its owner: that goes on, and may ask again")
  func withoutCustody() throws {
    var guest = try TestGuest(way: .token)
    guest.start()
    guest.forget()
    guest.say(Self.source, .park(1))
    guest.say(Self.source, .offer(1, guest.manifest))
    #expect(!guest.wasSent(.freeze(handoff: 1), to: Self.source))
    #expect(guest.wasSent(.takeBack(handoff: 1), to: Self.source))
    guest.say(Self.source, .resumed(1))
    #expect(guest.outcome == .runs(Self.source, epoch: 1))
    guest.say(Self.source, .park(1))
    #expect(guest.wasSent(.prepare(handoff: 2), to: Self.source))
  }

  @Test("is not frozen when its descriptors were refused")
  func declined() throws {
    var guest = try Self.guest(.none)
    guest.say(Self.source, .park(1))
    guest.say(Self.source, .declined(1, .quotaExceeded))
    #expect(guest.wasSent(.takeBack(handoff: 1), to: Self.source))
    guest.say(Self.source, .resumed(1))
    #expect(guest.outcome == .runs(Self.source, epoch: 1))
  }

  @Test("is handed to a successor that is there already")
  func successorIsThere() throws {
    var guest = try Self.guest(.none)
    guest.hello(TestGuest.successor, .attach(prepared: 0))
    guest.say(Self.source, .park(1))
    guest.finishFromHere(living: [Self.source, TestGuest.successor], batonIsUsed: false)
    #expect(guest.outcome == .runs(TestGuest.successor, epoch: 2))
    #expect(guest.record?.handoff == 1)
  }

  @Test("is parked after an attempt that came to nothing, when its owner had asked meanwhile")
  func remembered() throws {
    var guest = try Self.guest(.none)
    guest.hello(TestGuest.successor, .attach(prepared: 0))
    guest.say(Self.source, .park(1))
    guest.say(TestGuest.successor, .declined(1, .successorDeclined))
    guest.say(Self.source, .resumed(1))
    guest.take(.died(TestGuest.successor))
    guest.say(Self.source, .resumed(1))
    #expect(guest.machine?.isParking == true)
    #expect(guest.wasSent(.prepare(handoff: 2), to: Self.source))
  }

  @Test("is not parked for one that does not own it, or in an epoch that is over")
  func notTheOwner() throws {
    var guest = try Self.guest(.none)
    guest.hello(TestGuest.successor, .attach(prepared: 0))
    guest.say(TestGuest.successor, .park(1))
    guest.say(Self.source, .park(0))
    guest.say(TestGuest.successor, .declined(1, .successorDeclined))
    guest.say(Self.source, .resumed(1))
    #expect(guest.machine?.isParking == false)
    #expect(guest.outcome == .runs(Self.source, epoch: 1))
  }

  @Test("ends with its owner when that dies before it has staged")
  func ownerDies() throws {
    for stopsAt in 0..<3 {
      var guest = try Self.guest(.none)
      guest.say(Self.source, .park(1))
      if stopsAt > 0 { guest.say(Self.source, .offer(1, guest.manifest)) }
      if stopsAt > 1 { guest.take(.disconnected(Self.source)) }
      guest.take(.died(Self.source))
      #expect(guest.outcome == .ended)
    }
  }

  @Test("is asked for once more when batond dies before it is staged: its owner runs")
  func restartBefore() throws {
    var guest = try Self.guest(.none)
    guest.say(Self.source, .park(1))
    guest.restart()
    guest.forget()
    guest.hello(Self.source, .running(1, firstInstruction: 0))
    #expect(guest.sent.isEmpty)
    guest.say(Self.source, .park(1))
    #expect(guest.wasSent(.prepare(handoff: 2), to: Self.source))
  }

  @Test(
    "stays parked when batond dies: its owner presents it once more and is let go again",
    arguments: Way.allCases)
  func restartAfter(way: Way) throws {
    var guest = try Self.parked(way)
    guest.restart()
    #expect(guest.machine?.isOwnerNeeded == true, "without a store, it has the only descriptors")
    guest.forget()
    guest.take(.deadline(.claim, handoff: 1))
    guest.take(.deadline(.release(Self.source), handoff: 1))
    #expect(!guest.wasFenced(Self.source))
    #expect(guest.effects.contains(.note(.alarm(handoff: 1))))
    guest.hello(Self.source, .staged(1, TestGuest.stage))
    #expect(guest.wasSent(.release(nil), to: Self.source))
    #expect(guest.machine?.isOwnerNeeded == false)
    guest.take(.deadline(.release(Self.source), handoff: 1))
    #expect(guest.wasFenced(Self.source))
    #expect(guest.outcome == .staged)
  }

  @Test("goes from custody to a next claimant when one gives the baton back or dies", arguments: Way.allCases)
  func nextClaimant(way: Way) throws {
    for dies in [true, false] {
      var guest = try Self.parked(way)
      guest.take(.died(Self.source))
      guest.hello(TestGuest.successor, .attach(prepared: 0))
      guest.say(TestGuest.successor, .ready(1))
      #expect(guest.outcome == .claimed)
      if !dies { guest.hello(TestGuest.successor, .refused(1, used: false, returned: TestGuest.stage)) }
      guest.take(.died(TestGuest.successor))
      #expect(guest.outcome == .staged)
      guest.forget()
      guest.hello(Self.next, .attach(prepared: 0))
      guest.finishFromHere(living: [Self.next], batonIsUsed: false)
      #expect(guest.outcome == .runs(Self.next, epoch: 2))
    }
  }
}
