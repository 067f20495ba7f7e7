import BatonCore
import BatonWire
import Testing

/// The design's failure table for one dead process, as far as the registry's machine decides it.
@Suite("After one death") struct FailureTableTests {
  typealias Guest = TestGuest

  struct Cell: CustomTestStringConvertible {
    let column: TestGuest.Column
    let way: Way
    let hasVM: Bool
    /// The claimant's receive had won, or nothing had used the baton.
    var batonIsUsed = false
    let outcome: TestGuest.Outcome

    var testDescription: String {
      "\(column), way \(way)\(hasVM ? " with its VM in custody" : "")\(batonIsUsed ? ", baton used" : "")"
    }
  }

  static let onSource = TestGuest.Outcome.runs(TestGuest.source, epoch: 2)
  static let onSuccessor = TestGuest.Outcome.runs(TestGuest.successor, epoch: 2)

  static let movingSourceDies: [Cell] = [false, true].flatMap { hasVM in
    [
      Cell(column: .beforeStaged, way: .move, hasVM: hasVM, outcome: .ended),
      Cell(column: .staged, way: .move, hasVM: hasVM, outcome: onSuccessor),
      Cell(column: .claimed, way: .move, hasVM: hasVM, outcome: onSuccessor),
      // The claim was sent while the source lived: the next claimant gets the take-back VM too.
      Cell(column: .claimed, way: .move, hasVM: hasVM, batonIsUsed: true, outcome: .staged),
      Cell(column: .received, way: .move, hasVM: hasVM, outcome: onSuccessor),
      Cell(column: .committed, way: .move, hasVM: hasVM, outcome: onSuccessor),
    ]
  }

  static let sourceDies: [Cell] = [
    Cell(column: .beforeStaged, way: .none, hasVM: false, outcome: .ended),
    Cell(column: .beforeStaged, way: .token, hasVM: false, outcome: .ended),
    Cell(column: .beforeStaged, way: .token, hasVM: true, outcome: .ended),
    Cell(column: .staged, way: .none, hasVM: false, outcome: onSuccessor),
    Cell(column: .staged, way: .token, hasVM: false, outcome: .lost),
    Cell(column: .staged, way: .token, hasVM: true, outcome: onSuccessor),
    Cell(column: .claimed, way: .none, hasVM: false, outcome: onSuccessor),
    Cell(column: .claimed, way: .token, hasVM: true, outcome: onSuccessor),
    // The receive won the race, or it did not.
    Cell(column: .claimed, way: .token, hasVM: false, outcome: onSuccessor),
    Cell(column: .claimed, way: .token, hasVM: false, batonIsUsed: true, outcome: .lost),
    Cell(column: .received, way: .none, hasVM: false, outcome: onSuccessor),
    Cell(column: .received, way: .token, hasVM: false, outcome: onSuccessor),
    Cell(column: .received, way: .token, hasVM: true, outcome: onSuccessor),
    Cell(column: .committed, way: .none, hasVM: false, outcome: onSuccessor),
    Cell(column: .committed, way: .token, hasVM: false, outcome: onSuccessor),
    Cell(column: .committed, way: .token, hasVM: true, outcome: onSuccessor),
  ]

  @Test("the source's: the guest goes where the table says", arguments: sourceDies + movingSourceDies)
  func source(_ cell: Cell) throws {
    var guest = try TestGuest(way: cell.way, hasVM: cell.hasVM)
    try guest.go(to: cell.column)
    guest.forget()
    guest.take(.died(TestGuest.source))
    if cell.column == .staged { guest.hello(TestGuest.successor, .attach(prepared: 1)) }
    if cell.column == .claimed || cell.column == .received {
      guest.say(
        TestGuest.successor,
        cell.batonIsUsed ? .refused(1, used: true, returned: nil) : .received(1))
    }
    guest.finishFromHere(living: [TestGuest.successor], batonIsUsed: cell.batonIsUsed)
    #expect(guest.outcome == cell.outcome)
    #expect(!guest.wasFenced(TestGuest.successor))
  }

  static let movingSuccessorDies: [Cell] = [false, true].flatMap { hasVM in
    [
      Cell(column: .beforeStaged, way: .move, hasVM: hasVM, outcome: .runs(TestGuest.source, epoch: 1)),
      Cell(column: .claimed, way: .move, hasVM: hasVM, outcome: onSource),
      // Taken back out of the dead claimant's VM, when that is in custody.
      Cell(
        column: .received, way: .move, hasVM: hasVM, batonIsUsed: !hasVM,
        outcome: hasVM ? onSource : .lost),
      Cell(column: .committed, way: .move, hasVM: hasVM, outcome: .ended),
    ]
  }

  static let successorDies: [Cell] = [
    Cell(
      column: .beforeStaged, way: .none, hasVM: false, outcome: .runs(TestGuest.source, epoch: 1)),
    Cell(
      column: .beforeStaged, way: .token, hasVM: false, outcome: .runs(TestGuest.source, epoch: 1)),
    Cell(
      column: .beforeStaged, way: .token, hasVM: true, outcome: .runs(TestGuest.source, epoch: 1)),
    Cell(column: .claimed, way: .none, hasVM: false, outcome: onSource),
    Cell(column: .claimed, way: .token, hasVM: false, outcome: onSource),
    Cell(column: .claimed, way: .token, hasVM: true, outcome: onSource),
    Cell(column: .received, way: .none, hasVM: false, batonIsUsed: false, outcome: onSource),
    Cell(column: .received, way: .token, hasVM: false, batonIsUsed: true, outcome: .lost),
    Cell(column: .received, way: .token, hasVM: true, batonIsUsed: true, outcome: .lost),
    Cell(column: .committed, way: .none, hasVM: false, outcome: .ended),
    Cell(column: .committed, way: .token, hasVM: false, outcome: .ended),
    Cell(column: .committed, way: .token, hasVM: true, outcome: .ended),
  ]

  @Test(
    "the successor's: the guest goes where the table says", arguments: successorDies + movingSuccessorDies)
  func successor(_ cell: Cell) throws {
    var guest = try TestGuest(way: cell.way, hasVM: cell.hasVM)
    try guest.go(to: cell.column)
    guest.forget()
    // What it had sent is processed before its death is seen, and does not commit.
    if cell.column == .received { guest.say(TestGuest.successor, .received(1), isAlive: false) }
    #expect(guest.record?.owner == (cell.column == .committed ? TestGuest.successor : TestGuest.source))
    guest.take(.died(TestGuest.successor))
    guest.finishFromHere(living: [TestGuest.source], batonIsUsed: cell.batonIsUsed)
    #expect(guest.outcome == cell.outcome)
  }

  @Test(
    "the successor's before it claimed: the source has the guest again when none comes",
    arguments: Way.allCases)
  func stagedWithoutSuccessor(way: Way) throws {
    var guest = try TestGuest(way: way)
    try guest.go(to: .staged)
    guest.forget()
    guest.take(.deadline(.claim, handoff: 1))
    guest.finishFromHere(living: [TestGuest.source], batonIsUsed: false)
    #expect(guest.outcome == Self.onSource)
  }

  @Test(
    "the successor's before it claimed: the next one gets it from the source that took it back",
    arguments: Way.allCases)
  func stagedWithNextSuccessor(way: Way) throws {
    var guest = try TestGuest(way: way)
    try guest.go(to: .staged)
    guest.forget()
    guest.hello(TestGuest.next, .attach(prepared: 0))
    guest.take(.deadline(.claim, handoff: 1))
    guest.finishFromHere(living: [TestGuest.source, TestGuest.next], batonIsUsed: false)
    #expect(guest.outcome == .runs(TestGuest.next, epoch: 3))
  }

  static let columnsAndWays: [(TestGuest.Column, Way)] = TestGuest.Column.allCases.flatMap { column in
    Way.allCases.map { (column, $0) }
  }

  @Test("batond's: nothing is lost, and everybody goes on when it is back", arguments: columnsAndWays)
  func registry(column: TestGuest.Column, way: Way) throws {
    var guest = try TestGuest(way: way)
    try guest.go(to: column)
    guest.forget()
    guest.restart()
    switch column {
    case .beforeStaged:
      guest.hello(TestGuest.source, .running(1, firstInstruction: 0))
      guest.hello(TestGuest.successor, .attach(prepared: 1))
    case .staged:
      guest.hello(TestGuest.successor, .attach(prepared: 1))
      guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
    case .claimed:
      guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
      guest.hello(TestGuest.successor, .claiming(1))
      guest.say(TestGuest.successor, .received(1))
    case .received:
      guest.hello(TestGuest.successor, .received(1))
      guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
    case .committed:
      guest.hello(TestGuest.source, .staged(1, TestGuest.stage))
      guest.hello(TestGuest.successor, .received(1))
    }
    guest.finishFromHere(living: [TestGuest.source, TestGuest.successor], batonIsUsed: false)
    #expect(guest.outcome == Self.onSuccessor)
    #expect(guest.wasReleased(TestGuest.source))
    #expect(guest.record?.leaving == [])
  }

  @Test("all three at once while staged, and no custody that survives: lost, and said")
  func everybody() throws {
    var guest = try TestGuest(way: .none)
    try guest.go(to: .staged)
    guest.restart()
    guest.forget()
    guest.take(.died(TestGuest.source))
    #expect(guest.outcome == .lost)
    #expect(guest.effects.contains(.note(.lost(handoff: 1, .peerDied))))
  }
}
