import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Testing

@testable import RegistryService

@Suite("A guest's timeline")
struct TimelineTests {
  private let source = ProcessID(pid: 1, startTime: 1)
  private let successor = ProcessID(pid: 2, startTime: 2)

  private func begun() throws -> Timeline {
    var timeline = Timeline(guest: try #require(GuestName("vm1")))
    timeline.attachBegins(at: 1_000_000)
    timeline.begin(
      number: 7, way: .none, epoch: 3, source: (source, VMMProcess(processId: 1, userId: 0)),
      successor: (successor, VMMProcess(processId: 2, userId: 0)), at: 2_000_000, wallTime: 9_000_000)
    timeline.enter(.prepare, at: 2_000_000, limit: 30)
    return timeline
  }

  @Test("counts phases from the successor's first word, without gaps between them")
  func phases() throws {
    var timeline = try begun()
    timeline.enter(.offer, at: 5_000_000, limit: nil)
    timeline.leave(at: 6_000_000)
    let handoff = try #require(timeline.current).handoff
    #expect(handoff.startedRealtimeMicroseconds == 8_000)
    #expect(handoff.phases.map(\.name) == [.attach, .prepare, .offer])
    #expect(handoff.phases.map(\.startMicroseconds) == [0, 1_000, 4_000])
    #expect(handoff.phases.map(\.durationMicroseconds) == [1_000, 3_000, 1_000])
    #expect(handoff.phases[1].limitMicroseconds == 30)
  }

  @Test("never lets a phase begin before the one in front of it")
  func order() throws {
    var timeline = try begun()
    timeline.enter(.freeze, at: 8_000_000, limit: nil)
    timeline.enter(.stage, at: 7_000_000, limit: nil)
    let phases = try #require(timeline.current).handoff.phases
    #expect(phases.map(\.startMicroseconds) == [0, 1_000, 7_000, 7_000])
    #expect(phases[2].durationMicroseconds == 0)
  }

  @Test("takes the blackout from the guest's own stamps, and is settled when the source is gone too")
  func blackout() throws {
    var timeline = try begun()
    timeline.enter(.freeze, at: 8_000_000, limit: nil)
    timeline.changeLast {
      $0.frozen = 8_000_000
      $0.lastInstruction = 8_100_000
    }
    timeline.enter(.run, at: 8_400_000, limit: nil)
    timeline.committed(epoch: 4, at: 8_400_000)
    timeline.running(first: 8_450_000, arrival: 8_500_000)
    #expect(timeline.history.last?.handoff.blackoutMicroseconds == 350)
    #expect(timeline.history.last?.isSettled == false)
    timeline.died(source, at: 12_000_000)
    let end = try #require(timeline.history.last)
    #expect(end.isSettled)
    #expect(end.handoff.outcome == .committed)
    #expect(end.handoff.epochAfter == 4)
    #expect(end.handoff.durationMicroseconds == 11_000)
    #expect(end.handoff.phases.last?.name == .release)
    #expect(end.handoff.phases.last?.durationMicroseconds == 3_600)
    let kinds = timeline.takeEvents().map(\.kind)
    #expect(kinds.first == .handoffStarted)
    #expect(kinds.last == .handoffEnded)
  }

  @Test("without the guest's stamps measures from the order to freeze")
  func blackoutWithoutStamps() throws {
    var timeline = try begun()
    timeline.enter(.freeze, at: 8_000_000, limit: nil)
    timeline.changeLast { $0.frozen = 8_000_000 }
    timeline.enter(.run, at: 8_400_000, limit: nil)
    timeline.takenBack(epoch: 4, at: 8_400_000)
    timeline.running(first: 0, arrival: 9_000_000)
    #expect(timeline.history.last?.handoff.blackoutMicroseconds == 1_000)
    #expect(timeline.history.last?.isSettled == true)
  }

  @Test("of an aborted attempt goes on when its source had staged after all")
  func reopened() throws {
    var timeline = try begun()
    timeline.settle(.aborted, at: 5_000_000)
    #expect(timeline.current == nil)
    timeline.reopen(7)
    timeline.takenBack(epoch: 4, at: 6_000_000)
    timeline.running(first: 0, arrival: 7_000_000)
    #expect(timeline.history.last?.handoff.outcome == .takenBack)
  }

  @Test("of one that is given back twice has one run only")
  func givenBackTwice() throws {
    var timeline = try begun()
    timeline.enter(.run, at: 3_000_000, limit: nil)
    timeline.takenBack(epoch: 4, at: 3_000_000)
    timeline.reopen(7)
    timeline.enter(.run, at: 5_000_000, limit: nil)
    timeline.takenBack(epoch: 5, at: 5_000_000)
    timeline.running(first: 0, arrival: 7_000_000)
    let end = try #require(timeline.history.last)
    #expect(end.isSettled)
    #expect(end.handoff.outcome == .takenBack)
    #expect(end.handoff.phases.map(\.name) == [.attach, .prepare, .run])
    #expect(end.handoff.epochAfter == 5)
  }

  @Test("of a restart in place shows the wait for the next VMM, and a blackout with the gap in it")
  func parked() throws {
    var timeline = Timeline(guest: try #require(GuestName("vm1")))
    timeline.begin(
      number: 7, way: .none, epoch: 3, source: (source, VMMProcess(processId: 1, userId: 0)), successor: nil,
      at: 10_000_000, wallTime: 90_000_000)
    timeline.enter(.prepare, at: 10_000_000, limit: 5)
    timeline.enter(.offer, at: 11_000_000, limit: nil)
    timeline.frozen(at: 12_000_000, limit: 5)
    timeline.staged(
      Stage(
        envelopeByteCount: 64, format: StateFormat(name: "test", version: 1, features: 0),
        lastInstruction: 12_100_000, freezeStarted: 12_050_000, contextSent: 12_500_000),
      sent: 12_500_000, at: 13_000_000, limit: 5)
    timeline.died(source, at: 14_000_000)
    timeline.offeredAgain(
      to: (successor, VMMProcess(processId: 2, userId: 0)), at: 40_000_000, limit: 5)
    timeline.enter(.receive, at: 50_000_000, limit: 5)
    timeline.enter(.commit, at: 51_000_000, limit: nil)
    timeline.enter(.run, at: 51_000_000, limit: nil)
    timeline.committed(epoch: 4, at: 51_000_000)
    timeline.running(first: 52_100_000, arrival: 52_200_000)
    let handoff = try #require(timeline.history.last).handoff
    #expect(
      handoff.phases.map(\.name) == [
        .prepare, .offer, .freeze, .stage, .attach, .ready, .receive, .commit, .run, .release,
      ])
    #expect(handoff.phases.first { $0.name == .attach }?.durationMicroseconds == 27_000)
    #expect(handoff.parked == true)
    #expect(handoff.successor?.processId == 2)
    #expect(handoff.blackoutMicroseconds == 40_000)
    #expect(handoff.outcome == .committed)
  }

  @Test("after a restart begins when the source was frozen, and still has its phases in their order")
  func presented() throws {
    var timeline = Timeline(guest: try #require(GuestName("vm1")))
    timeline.attachBegins(at: 15_000_000)
    timeline.adopt(
      number: 7, way: .none, epoch: 3, source: (source, VMMProcess(processId: 1, userId: 0)), successor: nil,
      began: 10_000_000, at: 20_000_000, wallTime: 90_000_000)
    timeline.presented(
      Stage(
        envelopeByteCount: 64, format: StateFormat(name: "test", version: 1, features: 0),
        lastInstruction: 10_100_000, freezeStarted: 10_000_000, contextSent: 10_200_000),
      at: 20_000_000, next: .claim, limit: 5)
    timeline.enter(.receive, at: 21_000_000, limit: nil)
    timeline.enter(.run, at: 22_000_000, limit: nil)
    timeline.committed(epoch: 4, at: 22_000_000)
    timeline.running(first: 22_100_000, arrival: 22_200_000)
    let handoff = try #require(timeline.current ?? timeline.history.last).handoff
    #expect(handoff.startedRealtimeMicroseconds == 80_000)
    #expect(handoff.phases.map(\.name) == [.freeze, .stage, .claim, .receive, .run])
    #expect(handoff.phases.map(\.startMicroseconds) == [0, 200, 10_000, 11_000, 12_000])
    #expect(handoff.blackoutMicroseconds == 12_000)
  }

  @Test("remembers the last 32 handoffs")
  func limit() throws {
    var timeline = try begun()
    for number in 8...50 {
      timeline.settle(.aborted, at: 5_000_000)
      timeline.begin(
        number: UInt64(number), way: .none, epoch: 3, source: (source, VMMProcess(processId: 1, userId: 0)),
        successor: nil, at: 6_000_000, wallTime: 9_000_000)
    }
    #expect(timeline.history.count == 32)
    #expect(timeline.history.first?.handoff.number == 19)
  }
}

@Suite("A crash point")
struct CrashPointTests {
  private func record(_ phase: GuestRecord.Phase, epoch: UInt64, owner: Int32, handoff: UInt64) throws
    -> GuestRecord
  {
    GuestRecord(
      name: try #require(GuestName("vm1")), way: .none, owner: ProcessID(pid: owner, startTime: 1),
      epoch: epoch,
      phase: phase, handoff: handoff, claimant: nil)
  }

  @Test("is found for every entry of a handoff's journal")
  func points() throws {
    let idle = try record(.idle, epoch: 1, owner: 1, handoff: 0)
    let attempt = try record(.idle, epoch: 1, owner: 1, handoff: 1)
    let staged = try record(.staged, epoch: 1, owner: 1, handoff: 1)
    let claimed = try record(.claimed, epoch: 1, owner: 1, handoff: 1)
    let rollback = try record(.rollback, epoch: 1, owner: 1, handoff: 1)
    let committed = try record(.idle, epoch: 2, owner: 2, handoff: 1)
    let takenBack = try record(.idle, epoch: 2, owner: 1, handoff: 1)
    #expect(CrashSchedule.points(of: idle, after: nil) == (nil, nil))
    #expect(CrashSchedule.points(of: attempt, after: idle) == (nil, .afterJournalAttempt))
    #expect(CrashSchedule.points(of: staged, after: attempt) == (.beforeJournalStaged, .afterJournalStaged))
    #expect(CrashSchedule.points(of: claimed, after: staged) == (nil, .afterJournalClaimed))
    #expect(
      CrashSchedule.points(of: committed, after: claimed) == (.beforeJournalCommit, .afterJournalCommit))
    #expect(CrashSchedule.points(of: rollback, after: claimed) == (nil, .afterJournalRollback))
    #expect(CrashSchedule.points(of: takenBack, after: rollback) == (nil, .afterJournalTakenBack))
  }

  @Test("that is misspelled is said, and arms nothing")
  func misspelled() {
    #expect(CrashSchedule.isMisspelled("afterEverything"))
    #expect(!CrashSchedule.isMisspelled("afterClaimSent:3"))
    #expect(!CrashSchedule.isMisspelled(nil))
    for point in CrashPoint.allCases { #expect(!CrashSchedule.isMisspelled(point.rawValue)) }
  }

  @Test("kills the registry as SIGKILL does, and the next one repeats the verdict")
  func kills() throws {
    let registry = try RunningRegistry(environment: ["BATON_CRASH_AT": "afterRunSent"])
    let vmm = try ScriptedVMM(registry)
    try vmm.send(ScriptedVMM.hello("vm1"))
    #expect(try registry.waitForEnd() == .signalled(9))
    try registry.restart()
    let again = try ScriptedVMM(registry)
    try again.send(ScriptedVMM.hello("vm1", .attached(prepared: 0)))
    guard case .welcome(let welcome) = try again.receive() else { throw TestFailure("no welcome") }
    #expect(welcome.role == .owner)
    #expect(try again.receive() == .run(epoch: 1))
  }
}
