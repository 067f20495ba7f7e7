import BatonCore
import BatonWire
import Testing

/// What the seeded simulator found in the machine, each as the shortest course that shows it.
@Suite("A registry, as the simulator taught it") struct RegressionTests {
  @Test("gives a successor that it has ended no guest (R59)")
  func commitToFenced() throws {
    var guest = try TestGuest(way: .none)
    try guest.go(to: .claimed)
    guest.take(.died(TestGuest.source))
    guest.take(.deadline(.claim, handoff: 1))
    #expect(guest.wasFenced(TestGuest.successor))
    guest.say(TestGuest.successor, .received(1), isAlive: true)
    #expect(guest.record?.owner == TestGuest.source)
    guest.take(.died(TestGuest.successor))
    #expect(guest.outcome == .staged)
  }

  @Test("says a verdict again in the same epoch when tookBack comes twice (R25)")
  func tookBackTwice() throws {
    var guest = try TestGuest(way: .token)
    try guest.go(to: .claimed)
    guest.take(.deadline(.claim, handoff: 1))
    guest.say(TestGuest.source, .tookBack(1))
    guest.forget()
    guest.say(TestGuest.source, .tookBack(1))
    #expect(guest.record?.epoch == 2)
    #expect(guest.wasSent(.run(epoch: 2), to: TestGuest.source))
  }

  @Test("does not give the guest back to a source whose pidfd says that it has ended (R47)")
  func backToTheDead() throws {
    var guest = try TestGuest(way: .none)
    try guest.go(to: .claimed)
    guest.take(.exited(TestGuest.source))
    guest.take(.died(TestGuest.successor))
    guest.take(.died(TestGuest.source))
    #expect(guest.outcome == .staged, "the next successor can have it")
  }

  @Test("does not end the only claimant when nobody else can have the guest (R43, R46)")
  func lastHolder() throws {
    var guest = try TestGuest(way: .none)
    try guest.go(to: .claimed)
    guest.restart()
    guest.take(.exited(TestGuest.source))
    guest.take(.deadline(.claim, handoff: 1))
    guest.take(.died(TestGuest.source))
    guest.take(.deadline(.claim, handoff: 1))
    guest.take(.deadline(.takeBack, handoff: 1))
    #expect(!guest.wasFenced(TestGuest.successor))
    guest.hello(TestGuest.successor, .received(1))
    #expect(guest.record?.owner == TestGuest.successor)
  }

  @Test("remembers a late received until the source is seen dead (R11)")
  func lateReceived() throws {
    var guest = try TestGuest(way: .none)
    try guest.go(to: .claimed)
    let rollback = GuestRecord(
      name: guest.name, way: .none, owner: TestGuest.source, epoch: 1, phase: .rollback, handoff: 1,
      claimant: TestGuest.successor)
    guest.registry = Registry.restored([rollback]).0
    guest.take(.exited(TestGuest.source))
    guest.hello(TestGuest.successor, .received(1))
    #expect(guest.record?.owner == TestGuest.source)
    guest.take(.died(TestGuest.source))
    #expect(guest.record?.owner == TestGuest.successor)
  }

  @Test("takes a renewed connection for the end of the old one (R2)")
  func renewedConnection() throws {
    var guest = try TestGuest(way: .token)
    try guest.go(to: .claimed)
    guest.take(.deadline(.claim, handoff: 1))
    guest.forget()
    guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
    #expect(guest.wasSent(.takeBack(handoff: 1), to: TestGuest.source), "the first order may be lost")
  }

  @Test("does not begin a guest anew with a successor that has mapped the old one's RAM")
  func preparedDoesNotBegin() throws {
    var guest = try TestGuest(way: .none)
    guest.start()
    guest.take(.died(TestGuest.source))
    #expect(guest.outcome == .ended)
    guest.forget()
    guest.hello(TestGuest.successor, .attach(prepared: 1))
    #expect(guest.outcome == .ended)
    #expect(guest.wasReleased(TestGuest.successor))
    guest.take(.died(TestGuest.successor))
    guest.hello(TestGuest.next, .attach(prepared: 0))
    #expect(guest.record?.owner == TestGuest.next)
  }
}

@Suite("A guest's beginning") struct BeginningTests {
  @Test("is not given to a process that has ended, so that the next one begins")
  func deadBeginner() throws {
    var guest = try TestGuest(way: .none)
    guest.hello(TestGuest.source, .attach(prepared: 0), isAlive: false)
    #expect(guest.machine == nil)
    guest.hello(TestGuest.next, .attach(prepared: 0))
    #expect(guest.record?.owner == TestGuest.next)
    guest.take(.died(TestGuest.next))
    guest.hello(TestGuest.source, .fresh, isAlive: false)
    #expect(guest.outcome == .ended)
  }

  @Test("goes on with the numbers of its last life")
  func anew() throws {
    var guest = try TestGuest(way: .none)
    try guest.go(to: .committed)
    guest.take(.died(TestGuest.source))
    guest.take(.died(TestGuest.successor))
    #expect(guest.outcome == .ended)
    guest.hello(TestGuest.next, .fresh)
    #expect(guest.record?.epoch == 3)
    #expect(guest.record?.handoff == 1)
  }
}

@Suite("A registry without a journal") struct LostJournalTests {
  private func settling(_ way: Way) throws -> TestGuest {
    var guest = try TestGuest(way: way)
    guest.registry = Registry(isSettling: true, numbersFrom: 1_000)
    return guest
  }

  @Test("goes on above every number that was given out")
  func numbers() throws {
    var running = try settling(.token)
    running.hello(TestGuest.source, .running(7, firstInstruction: 0))
    #expect(running.record?.epoch == 7)
    #expect(running.record?.handoff == 1_000)
    var staged = try settling(.token)
    staged.hello(TestGuest.source, .staged(5, TestGuest.stage))
    #expect(staged.record?.handoff == 5)
    #expect((staged.record?.epoch ?? 0) >= 1_000)
  }

  @Test("declares nothing lost before the claimant had time to come back")
  func sourceDiesWhileSettling() throws {
    var guest = try settling(.token)
    guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
    guest.take(.died(TestGuest.source))
    #expect(guest.outcome == .claimed)
    guest.hello(TestGuest.successor, .received(1))
    _ = guest.registry.settle()
    #expect(guest.record?.owner == TestGuest.successor)
  }

  @Test("keeps a guest of which only a returned baton is left")
  func returnedBaton() throws {
    var guest = try settling(.none)
    guest.hello(TestGuest.successor, .refused(1, used: false, returned: TestGuest.stage))
    _ = guest.registry.settle()
    #expect(guest.outcome == .staged)
    guest.forget()
    guest.hello(TestGuest.next, .attach(prepared: 0))
    guest.finishFromHere(living: [TestGuest.successor, TestGuest.next], batonIsUsed: false)
    #expect(guest.record?.owner == TestGuest.next)
  }

  @Test("takes nothing back before it has settled", arguments: [Way.none, .token])
  func abortWhileSettling(way: Way) throws {
    var guest = try settling(way)
    guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
    guest.take(.abort)
    guest.take(.deadline(.claim, handoff: 1))
    #expect(guest.outcome == .claimed)
    #expect(guest.effects.last == .arm(.claim, handoff: 1))
  }

  @Test("believes who runs before who waits for a verdict")
  func runnerBeforeStaged() throws {
    var guest = try settling(.token)
    guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
    guest.hello(TestGuest.successor, .running(2, firstInstruction: 0))
    #expect(guest.record?.owner == TestGuest.successor)
    #expect(guest.record?.phase == .idle)
    #expect(guest.record?.leaving == [TestGuest.source])
    #expect((guest.record?.handoff ?? 0) >= 1_000)
  }

  @Test("hears who may have the guest before who only wants it")
  func order() {
    let reports: [Report] = [.attach(prepared: 0), .fresh, .claiming(1), .received(1)]
    let ranks = reports.sorted {
      Registry.rankWhenSettling($0) < Registry.rankWhenSettling($1)
    }
    #expect(ranks.first == .received(1))
    #expect(ranks.dropFirst().first == .claiming(1))
  }
}

@Suite("A registry that is told a number near the end of all numbers")
struct LargeNumberTests {
  @Test("does not take it over, so that it can always count on")
  func refused() throws {
    let name = try #require(GuestName("vm1"))
    let reads = ReadableFormats(name: "f", oldest: 1, newest: 1, features: 0)
    for report in [
      Report.running(.max, firstInstruction: 0), .tookBack(.max), .running(1 << 62 + 1, firstInstruction: 0),
    ] {
      var registry = Registry(isSettling: false)
      let first = ProcessID(pid: 10, startTime: 1)
      let effects = registry.handle(
        .hello(first, report, reads: reads, manifest: nil, isAlive: true), for: name)
      #expect(effects == [.refuse(first, .unknownGuest)])
      #expect(registry[name] == nil)
    }
  }
}
