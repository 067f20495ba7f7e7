import BatonCore
import BatonWire
import Testing

/// Who gets which VM with way `move` (rules R17, R39, R43 to R46).
@Suite("With way move") struct MoveTests {
  typealias Guest = TestGuest

  private static func grant(
    staged: Bool = false, takeBack: Bool = false, returned: Bool = false, successors: [ProcessID] = []
  ) -> VMGrant {
    var grant = VMGrant()
    grant.staged = staged
    grant.takeBack = takeBack
    grant.returned = returned
    grant.successors = successors
    return grant
  }

  @Test("the claimant gets the staged VM and no other one")
  func claim() throws {
    var guest = try TestGuest(way: .move, hasVM: true)
    try guest.go(to: .claimed)
    #expect(guest.grants.map(\.0) == [Self.grant(staged: true)])
    #expect(guest.grants.map(\.1) == [TestGuest.successor])
    #expect(guest.machine?.custody.successors == [TestGuest.successor])
    #expect(guest.machine?.custody.hasTakeBackVM == true)
  }

  @Test("a source that takes back gets no VM of a claimant that lives")
  func takeBackFromTheLiving() throws {
    var guest = try TestGuest(way: .move, hasVM: true)
    try guest.go(to: .claimed)
    guest.forget()
    guest.take(.deadline(.claim, handoff: 1))
    #expect(guest.grants.map(\.0) == [Self.grant()])
    #expect(guest.grants.map(\.1) == [TestGuest.source])
    #expect(!guest.wasFenced(TestGuest.successor))
  }

  @Test("a source that found its context moved away is ordered again after the claimant's death, with its VM")
  func takeBackFromTheDead() throws {
    var guest = try TestGuest(way: .move, hasVM: true)
    try guest.go(to: .claimed)
    guest.take(.deadline(.claim, handoff: 1))
    guest.say(TestGuest.source, .used(1))
    guest.forget()
    guest.take(.died(TestGuest.successor))
    #expect(guest.wasSent(.takeBack(handoff: 1), to: TestGuest.source))
    #expect(guest.grants.map(\.0) == [Self.grant(successors: [TestGuest.successor])])
    guest.say(TestGuest.source, .tookBack(1))
    guest.say(TestGuest.source, .running(2, firstInstruction: 1))
    #expect(guest.outcome == FailureTableTests.onSource)
    #expect(guest.machine?.custody == GuestMachine.Custody())
  }

  @Test("the guest is lost only after the source has tried the dead claimant's VM too")
  func lost() throws {
    var guest = try TestGuest(way: .move, hasVM: true)
    try guest.go(to: .claimed)
    guest.take(.deadline(.claim, handoff: 1))
    guest.say(TestGuest.source, .used(1))
    guest.take(.died(TestGuest.successor))
    #expect(guest.outcome == .rollback)
    guest.say(TestGuest.source, .used(1))
    #expect(guest.outcome == .lost)
  }

  @Test("a claimant that has the context and hangs is ended when its VM is in custody, and never without")
  func hungClaimant() throws {
    for hasVM in [true, false] {
      var guest = try TestGuest(way: .move, hasVM: hasVM)
      try guest.go(to: .claimed)
      guest.take(.deadline(.claim, handoff: 1))
      guest.say(TestGuest.source, .used(1))
      guest.forget()
      guest.take(.deadline(.takeBack, handoff: 1))
      #expect(guest.wasFenced(TestGuest.successor) == hasVM)
      #expect(guest.effects.contains(.note(.alarm(handoff: 1))))
    }
  }

  @Test("with source and claimant dead the next claimant gets all their VMs")
  func nextClaimant() throws {
    var guest = try TestGuest(way: .move, hasVM: true)
    try guest.go(to: .claimed)
    guest.take(.died(TestGuest.source))
    guest.take(.died(TestGuest.successor))
    #expect(guest.outcome == .staged)
    guest.forget()
    guest.hello(TestGuest.next, .attach(prepared: 0))
    guest.say(TestGuest.next, .ready(1))
    #expect(
      guest.grants.map(\.0) == [
        Self.grant(staged: true, takeBack: true, successors: [TestGuest.successor])
      ])
    guest.say(TestGuest.next, .received(1))
    #expect(guest.record?.owner == TestGuest.next)
  }

  @Test(
    "a claimant that found the context gone is followed by one that gets the take-back VM of the dead source")
  func usedBesideADeadSource() throws {
    var guest = try TestGuest(way: .move, hasVM: true)
    try guest.go(to: .claimed)
    guest.take(.died(TestGuest.source))
    guest.say(TestGuest.successor, .refused(1, used: true, returned: nil))
    guest.take(.died(TestGuest.successor))
    guest.forget()
    guest.hello(TestGuest.next, .attach(prepared: 0))
    guest.say(TestGuest.next, .ready(1))
    #expect(guest.grants.first?.0.takeBack == true)
    guest.say(TestGuest.next, .refused(1, used: true, returned: nil))
    #expect(guest.outcome == .lost)
  }

  @Test("what a claimant brings back after a restart goes to whoever takes next")
  func returnedAfterARestart() throws {
    var guest = try TestGuest(way: .move, hasVM: true)
    try guest.go(to: .claimed)
    guest.restart()
    guest.take(.died(TestGuest.source))
    guest.hello(TestGuest.successor, .refused(1, used: false, returned: TestGuest.stage))
    guest.take(.died(TestGuest.successor))
    guest.forget()
    guest.hello(TestGuest.next, .attach(prepared: 0))
    guest.say(TestGuest.next, .ready(1))
    #expect(guest.grants.map(\.0) == [Self.grant(returned: true)])
  }

  @Test("a claimant presents its VM again to a registry that came back")
  func presentedAgain() throws {
    var guest = try TestGuest(way: .move, hasVM: true)
    try guest.go(to: .claimed)
    guest.restart()
    guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
    guest.hello(TestGuest.successor, .claiming(1))
    #expect(guest.machine?.custody.successors == [TestGuest.successor])
    guest.forget()
    guest.take(.died(TestGuest.successor))
    #expect(guest.grants.map(\.0) == [Self.grant(successors: [TestGuest.successor])])
  }

  @Test("an offer without the source's VM is no manifest")
  func manifest() throws {
    let guest = try TestGuest(way: .none)
    var manifest = guest.manifest
    manifest.way = .move
    let without = manifest
    #expect(throws: Manifest.Problem.moveWithoutVM) { try without.validate() }
    manifest.hasVM = true
    try manifest.validate()
  }
}
