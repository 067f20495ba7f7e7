import BatonCore
import BatonWire
import Testing

/// Model rules R67 to R69.
@Suite("A guest of way none whose journal was lost when it had been staged")
struct UnknownClaimantTests {
  static let source = TestGuest.source
  static let successor = TestGuest.successor

  /// The source says `staged` to a registry that knows nothing, and nobody else comes.
  static func guest(_ way: Way = .none, hasVM: Bool = false) throws -> TestGuest {
    var guest = try TestGuest(way: way, hasVM: hasVM)
    guest.registry = Registry(isSettling: true, numbersFrom: 1_000)
    guest.hello(source, .staged(7, TestGuest.stage))
    return guest
  }

  static func settled(_ way: Way = .none) throws -> TestGuest {
    var guest = try guest(way)
    guest.settle()
    guest.forget()
    return guest
  }

  @Test("is not given back on a guess: an operator is called at each deadline, also after a restart")
  func alarm() throws {
    var guest = try Self.settled()
    #expect(guest.machine?.isClaimantUnknown == true)
    for _ in 0..<3 {
      guest.forget()
      guest.take(.deadline(.claim, handoff: 7))
      #expect(guest.outcome == .claimed)
      #expect(guest.effects == [.note(.alarm(handoff: 7)), .arm(.claim, handoff: 7)])
    }
    guest.restart()
    guest.hello(Self.source, .staged(7, TestGuest.stage))
    guest.take(.deadline(.claim, handoff: 7))
    #expect(guest.outcome == .claimed)
    #expect(guest.machine?.isClaimantUnknown == true)
  }

  @Test("is given back on the operator's word that nobody has run it")
  func word() throws {
    var guest = try Self.settled()
    guest.take(.abort)
    guest.finishFromHere(living: [Self.source], batonIsUsed: false)
    #expect(guest.outcome == .runs(Self.source, epoch: 1_001))
  }

  @Test("waits for the operator's word when its source dies too, and then for a next VMM")
  func wordWithoutSource() throws {
    var guest = try Self.settled()
    guest.take(.died(Self.source))
    #expect(guest.outcome == .claimed)
    guest.hello(TestGuest.next, .attach(prepared: 0))
    #expect(guest.outcome == .claimed)
    guest.forget()
    guest.take(.abort)
    guest.finishFromHere(living: [TestGuest.next], batonIsUsed: false)
    #expect(guest.outcome == .runs(TestGuest.next, epoch: 1_001))
  }

  @Test("is lost on the operator's word when nothing of it is left")
  func nothingLeft() throws {
    var guest = try Self.settled()
    guest.restart()
    guest.take(.died(Self.source))
    #expect(guest.outcome == .claimed, "who has it may still come back")
    guest.take(.abort)
    #expect(guest.outcome == .lost)
  }

  @Test("is given back when the successor of this handoff says that it does not have the baton")
  func proof() throws {
    var guest = try Self.guest()
    guest.hello(Self.successor, .attach(prepared: 7))
    guest.settle()
    guest.finish(living: [Self.source, Self.successor])
    guest.finishFromHere(living: [Self.source, Self.successor], batonIsUsed: false)
    #expect(guest.machine?.isClaimantUnknown == false)
    #expect(guest.record?.phase == .idle)
    var late = try Self.settled()
    late.hello(Self.successor, .attach(prepared: 7))
    #expect(late.wasSent(.run(epoch: 1_001), to: Self.source))
  }

  @Test(
    "is not given back because a successor of another handoff is there", arguments: [0, 6, 8] as [UInt64])
  func noProof(prepared: UInt64) throws {
    var guest = try Self.settled()
    guest.hello(Self.successor, .attach(prepared: prepared))
    guest.take(.deadline(.claim, handoff: 7))
    #expect(guest.outcome == .claimed)
  }

  @Test("belongs to whoever comes late and runs it; the source is told to go")
  func lateRunner() throws {
    var guest = try Self.settled()
    guest.hello(Self.successor, .running(9, firstInstruction: 0))
    #expect(guest.record?.owner == Self.successor)
    #expect(guest.wasReleased(Self.source))
    #expect(guest.wasSent(.run(epoch: 1_001), to: Self.successor), "no two owners in one epoch")
    guest.say(Self.successor, .running(1_001, firstInstruction: 0))
    #expect(guest.outcome == .runs(Self.successor, epoch: 1_001))
  }

  @Test("goes to a claimant that comes late with what it has received")
  func lateClaimant() throws {
    var guest = try Self.settled()
    guest.hello(Self.successor, .received(7))
    guest.finishFromHere(living: [Self.successor, Self.source], batonIsUsed: false)
    #expect(guest.outcome == .runs(Self.successor, epoch: 1_001))
  }

  @Test("is waited for at a claimant that comes late and still has the baton, and taken back after its death")
  func lateClaiming() throws {
    var guest = try Self.settled()
    guest.hello(Self.successor, .claiming(7))
    #expect(guest.record?.claimant == Self.successor)
    guest.take(.died(Self.successor))
    guest.finishFromHere(living: [Self.source], batonIsUsed: false)
    #expect(guest.outcome == .runs(Self.source, epoch: 1_001))
  }

  @Test(
    "is no such guest in the other ways: there the kernel says whether the baton was used",
    arguments: [Way.token, .move])
  func otherWays(way: Way) throws {
    let guest = try Self.settled(way)
    #expect(guest.machine?.isClaimantUnknown == false)
    #expect(guest.record?.phase == .rollback)
  }

  @Test("does not use a number again that the lost journal may have given out after its handoff")
  func numbersGoOn() throws {
    var guest = try TestGuest(way: .none)
    guest.registry = Registry(isSettling: true, numbersFrom: 50_000)
    guest.hello(Self.source, .staged(7, TestGuest.stage))
    guest.settle()
    guest.take(.abort)
    guest.finishFromHere(living: [Self.source], batonIsUsed: false)
    guest.hello(TestGuest.next, .attach(prepared: 0))
    #expect(guest.record?.handoff == 50_002)
  }

  @Test("is not run from an older state when its new owner died before batond was back")
  func seed221800() throws {
    // Committed to the successor; the source had not read its release; journal and batond go; the successor dies.
    var guest = try TestGuest(way: .none)
    try guest.go(to: .committed)
    guest.registry = Registry(isSettling: true, numbersFrom: 1_000)
    guest.forget()
    guest.hello(Self.source, .staged(1, TestGuest.stage))
    guest.settle()
    guest.take(.deadline(.claim, handoff: 1))
    guest.take(.deadline(.takeBack, handoff: 1))
    #expect(!guest.sent.contains { if case .run = $0.0 { true } else { false } })
    #expect(guest.outcome == .claimed)
  }
}
