import BatonCore
import BatonWire
import Testing

/// The design's rules 1 to 12, as far as they are the machines'.
@Suite("The design's rules") struct DesignRuleTests {
  @Test("1: RAM is offered and mapped before the freeze, and four records go between freeze and run")
  func preparedBeforeFreeze() throws {
    var guest = try TestGuest(way: .token)
    guest.start()
    guest.hello(TestGuest.successor, .attach(prepared: 0))
    guest.say(TestGuest.source, .offer(1, guest.manifest))
    #expect(
      guest.wasSent(.offered(handoff: 1, guest.manifest, isGuestStopped: false), to: TestGuest.successor))
    #expect(!guest.wasSent(.freeze(handoff: 1), to: TestGuest.source))
    guest.say(TestGuest.successor, .ready(1))
    #expect(guest.wasSent(.freeze(handoff: 1), to: TestGuest.source))
    guest.forget()
    // stage in, claim out; received in, run out.
    guest.say(TestGuest.source, .staged(1, TestGuest.stage))
    #expect(guest.sent.map(\.0) == [.claim(handoff: 1, TestGuest.stage)])
    guest.forget()
    guest.say(TestGuest.successor, .received(1))
    #expect(guest.sent.map(\.0) == [.run(epoch: 2), .release(nil)])
  }

  @Test("2: after stage was sent the source obeys orders only")
  func stagedObeys() {
    var source = Source(way: .none, epoch: 1)
    _ = source.take(.prepare(handoff: 1))
    source.offered(way: .none)
    _ = source.take(.freeze(handoff: 1))
    source.froze()
    source.staged(TestGuest.stage)
    #expect(source.standing == .staged(1, TestGuest.stage))
    #expect(source.take(.run(epoch: 1)) == nil, "the verdict of its own epoch is an old one")
    #expect(source.take(.freeze(handoff: 1)) == nil)
    #expect(source.take(.run(epoch: 2)) == .run(epoch: 2))
  }

  @Test("2: before stage was sent the source goes on alone, with its token received first")
  func unstagedGoesOn() {
    var source = Source(way: .token, epoch: 1)
    _ = source.take(.prepare(handoff: 1))
    source.offered(way: .token)
    _ = source.take(.freeze(handoff: 1))
    source.froze()
    #expect(source.standing == nil, "a frozen source decides before it says where it stands")
    source.gaveUpContext()
    #expect(source.take(.takeBack(handoff: 1)) == .goOn(1, takeContextBack: true))
    source.wentOn()
    #expect(source.standing == .running(1))
  }

  @Test("2: deadlines of what is under way are armed anew when batond returns")
  func deadlinesAnew() throws {
    var guest = try TestGuest(way: .token)
    try guest.go(to: .claimed)
    guest.forget()
    guest.restart()
    #expect(guest.effects.contains(.arm(.claim, handoff: 1)))
  }

  @Test("3: the baton is given to one claimant at a time, by entry of the journal before the record")
  func oneClaimant() throws {
    var guest = try TestGuest(way: .token)
    try guest.go(to: .claimed)
    let claimed = try #require(guest.journalled.first { $0.phase == .claimed })
    let entry = try #require(guest.index(of: .journal(claimed)))
    let claim = try #require(
      guest.index(of: .send(.claim(handoff: 1, TestGuest.stage), to: TestGuest.successor)))
    #expect(entry < claim)
    guest.forget()
    #expect(
      guest.hello(TestGuest.next, .attach(prepared: 1))
        == [.refuse(TestGuest.next, .secondSuccessor)])
  }

  @Test("3: a baton that came back unused goes to the next claimant")
  func returned() throws {
    var guest = try TestGuest(way: .token, hasVM: true)
    try guest.go(to: .claimed)
    guest.take(.died(TestGuest.source))
    guest.say(TestGuest.successor, .refused(1, used: false, returned: nil))
    #expect(guest.outcome == .staged)
    guest.forget()
    guest.hello(TestGuest.next, .attach(prepared: 0))
    guest.finishFromHere(living: [TestGuest.successor, TestGuest.next], batonIsUsed: false)
    #expect(guest.outcome == .runs(TestGuest.next, epoch: 2))
  }

  @Test("3: a baton that is no good is refused by its own name")
  func namedRefusals() throws {
    func refusal(
      _ guest: inout TestGuest, _ report: Report, from process: ProcessID = TestGuest.next
    ) -> Refusal? {
      guest.forget()
      guest.hello(process, report)
      for (message, to) in guest.sent where to == process {
        if case .release(let refusal) = message { return refusal }
      }
      return nil
    }
    var used = try TestGuest(way: .token)
    try used.go(to: .committed)
    #expect(refusal(&used, .claiming(1)) == .batonUsed)
    #expect(refusal(&used, .received(9)) == .batonUnknown)
    var foreign = try TestGuest(way: .token)
    try foreign.go(to: .claimed)
    #expect(refusal(&foreign, .received(1)) == .batonForeign)
    var revoked = try TestGuest(way: .token)
    try revoked.go(to: .claimed)
    revoked.take(.abort)
    revoked.finish(living: [])
    revoked.say(TestGuest.source, .tookBack(1))
    #expect(refusal(&revoked, .claiming(1)) == .batonRevoked)
    var destroyed = try TestGuest(way: .token)
    try destroyed.go(to: .staged)
    destroyed.take(.died(TestGuest.source))
    #expect(refusal(&destroyed, .claiming(1)) == .sourceDestroyed)
    var unknown = try TestGuest(way: .token)
    #expect(unknown.hello(TestGuest.next, .received(1)) == [.refuse(TestGuest.next, .batonUnknown)])
  }

  @Test("4: without its VM in custody the source's death kills the baton, with it it does not")
  func custodyKeepsTheBaton() throws {
    for (hasVM, outcome) in [(false, TestGuest.Outcome.lost), (true, .staged)] {
      var guest = try TestGuest(way: .token, hasVM: hasVM)
      try guest.go(to: .staged)
      guest.forget()
      guest.take(.died(TestGuest.source))
      #expect(guest.outcome == outcome)
      #expect(guest.effects.contains(.note(.lost(handoff: 1, .sourceDestroyed))) == !hasVM)
    }
  }

  @Test("5: liveness is never guessed: a deadline lets the source probe, and only its answer decides")
  func deadlineOnlyProbes() throws {
    var guest = try TestGuest(way: .token)
    try guest.go(to: .claimed)
    guest.forget()
    guest.take(.deadline(.claim, handoff: 1))
    #expect(guest.wasSent(.takeBack(handoff: 1), to: TestGuest.source))
    #expect(!guest.wasFenced(TestGuest.successor), "its death would take the context along")
    guest.say(TestGuest.source, .used(1))
    #expect(guest.outcome == .rollback, "the claimant lives: its word or its seen death is waited for")
    guest.say(TestGuest.successor, .received(1))
    #expect(guest.record?.owner == TestGuest.successor)
  }

  @Test("5: way none: the source runs only after the claimant's seen death")
  func noneWaitsForDeath() throws {
    var guest = try TestGuest(way: .none)
    try guest.go(to: .claimed)
    guest.forget()
    guest.take(.deadline(.claim, handoff: 1))
    #expect(guest.wasFenced(TestGuest.successor))
    guest.say(TestGuest.successor, .received(1))
    #expect(guest.outcome == .rollback, "a late received does not count")
    #expect(!guest.wasSent(.run(epoch: 2), to: TestGuest.source))
    guest.take(.died(TestGuest.successor))
    #expect(guest.wasSent(.run(epoch: 2), to: TestGuest.source))
  }

  @Test("6: after the commit the source is told to release, and fenced at the deadline")
  func fence() throws {
    var guest = try TestGuest(way: .token)
    try guest.go(to: .committed)
    #expect(guest.wasReleased(TestGuest.source))
    #expect(guest.effects.contains(.arm(.release(TestGuest.source), handoff: 1)))
    guest.forget()
    guest.restart()
    guest.take(.deadline(.release(TestGuest.source), handoff: 1))
    #expect(guest.wasFenced(TestGuest.source), "also by a batond that was restarted")
    #expect(!guest.wasFenced(TestGuest.successor))
  }

  @Test("7: every phase has a deadline, and what is over has none")
  func deadlines() throws {
    var guest = try TestGuest(way: .token)
    try guest.go(to: .committed)
    for deadline in [Deadline.prepare, .freeze, .claim, .release(TestGuest.source)] {
      #expect(guest.effects.contains(.arm(deadline, handoff: 1)))
    }
    guest.take(.died(TestGuest.source))
    var armed: Set<Deadline> = []
    for effect in guest.effects {
      switch effect {
      case .arm(let deadline, _): armed.insert(deadline)
      case .disarm(let deadline): armed.remove(deadline)
      case .journal, .send, .give, .refuse, .keepDescriptors, .emptyCustody, .fence, .note: break
      }
    }
    #expect(armed == [])
  }

  @Test("12: a successor that cannot read the state is refused while the guest runs on")
  func unreadableState() throws {
    var guest = try TestGuest(way: .token)
    guest.start()
    guest.hello(
      TestGuest.successor, .attach(prepared: 0),
      reads: ReadableFormats(name: "test", oldest: 2, newest: 3, features: 0))
    guest.forget()
    guest.say(TestGuest.source, .offer(1, guest.manifest))
    #expect(guest.wasSent(.release(.stateUnreadable), to: TestGuest.successor))
    guest.finishFromHere(living: [TestGuest.source, TestGuest.successor], batonIsUsed: false)
    #expect(guest.outcome == .runs(TestGuest.source, epoch: 1))
    #expect(!guest.wasSent(.freeze(handoff: 1), to: TestGuest.source))
  }
}
