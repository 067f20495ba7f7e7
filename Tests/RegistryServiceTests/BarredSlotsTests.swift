import BatonCore
import BatonWire
import RegistryInterface
import Testing

@testable import RegistryService

@Suite("A slot that failed")
struct BarredSlotsTests {
  private let first = ProcessID(pid: 10, startTime: 1)
  private let second = ProcessID(pid: 11, startTime: 1)

  @Test("is barred once, with the first reason")
  func once() {
    var slots = BarredSlots()
    slots.attached(first, from: .b)
    #expect(slots.failed(first, "process 10 declined", at: 5)?.slot == .b)
    slots.attached(second, from: .b)
    #expect(slots.failed(second, "process 11 ended", at: 6) == nil)
    #expect(
      slots.bars == [BarredSlot(slot: .b, sentence: "process 10 declined", sinceRealtimeMicroseconds: 5)])
  }

  @Test("is not barred by a process that was sent away, that is in no slot, or that never came")
  func innocent() {
    var slots = BarredSlots()
    slots.attached(first, from: .a)
    slots.dismissed(first)
    #expect(slots.failed(first, "ended", at: 1) == nil)
    slots.attached(first, from: nil)
    #expect(slots.failed(first, "ended", at: 1) == nil)
    #expect(slots.failed(second, "ended", at: 1) == nil)
    #expect(slots.bars.isEmpty)
  }

  @Test("is not barred any more by a process that owns the guest")
  func owner() {
    var slots = BarredSlots()
    slots.attached(first, from: .b)
    slots.committed(to: first)
    #expect(slots.failed(first, "ended", at: 1) == nil)
  }

  @Test("may try again after a commit, and when an operator asks")
  func allowed() {
    var slots = BarredSlots()
    #expect(slots.fenced(first, in: .b, "had to be ended", at: 1) != nil)
    #expect(slots.fenced(second, in: .a, "had to be ended", at: 2) != nil)
    #expect(slots.bars.map(\.slot) == [.a, .b])
    #expect(slots.allowAll() == [.a, .b])
    #expect(slots.bars.isEmpty)
    _ = slots.fenced(first, in: .b, "had to be ended", at: 3)
    slots.committed(to: second)
    #expect(slots.bars.isEmpty)
  }

  @Test("is not barred by a process that an operator had sent away, although it has to be ended")
  func excused() {
    var slots = BarredSlots()
    slots.attached(first, from: .b)
    slots.dismissed(first)
    #expect(slots.fenced(first, in: .b, "had to be ended", at: 1) == nil)
    slots.gone(first)
    // The same number belongs to another process now.
    #expect(slots.fenced(first, in: .b, "had to be ended", at: 2)?.slot == .b)
    #expect(slots.fenced(second, in: nil, "had to be ended", at: 3) == nil)
  }

  @Test("leaves who waits where it is when another one gets the guest")
  func waiting() {
    var slots = BarredSlots()
    slots.attached(first, from: .a)
    slots.attached(second, from: .b)
    slots.committed(to: first)
    #expect(slots.isHopeful(second))
    #expect(slots.failed(second, "ended", at: 1)?.slot == .b)
  }
}

@Suite("An attempt that ended before its guest was staged")
struct AttemptEndTests {
  private func isSuccessorsFault(
    _ refusal: BatonWire.Refusal, own: Bool = false, declined: Bool = false, in phase: PhaseName? = .prepare,
    connected: Bool = true
  ) -> Bool {
    AttemptEnd(
      refusal: refusal, hasOwnReason: own, wasDeclinedBySuccessor: declined, lastPhase: phase,
      isSuccessorConnected: connected
    ).isSuccessorsFault
  }

  @Test("failed by a successor that said no, whatever the reason", arguments: BatonWire.Refusal.allCases)
  func declined(_ refusal: BatonWire.Refusal) {
    #expect(isSuccessorsFault(refusal, own: true, declined: true))
  }

  @Test("failed by a successor that cannot read the state, was too slow, or went away")
  func successor() {
    #expect(isSuccessorsFault(.stateUnreadable))
    #expect(isSuccessorsFault(.deadlinePassed, in: .ready))
    #expect(isSuccessorsFault(.peerDied, connected: false))
    #expect(isSuccessorsFault(.peerDisconnected, connected: false))
  }

  @Test("failed by its source, an operator or the registry otherwise")
  func others() {
    #expect(!isSuccessorsFault(.sourceDeclined, own: true))
    #expect(!isSuccessorsFault(.quotaExceeded, own: true))
    #expect(!isSuccessorsFault(.stateUnreadable, own: true), "the source said so")
    #expect(!isSuccessorsFault(.abortedByOperator))
    #expect(!isSuccessorsFault(.deadlinePassed, in: .prepare))
    #expect(!isSuccessorsFault(.deadlinePassed, in: .freeze))
    #expect(!isSuccessorsFault(.deadlinePassed, in: nil))
    #expect(!isSuccessorsFault(.peerDied))
    #expect(!isSuccessorsFault(.peerDisconnected))
  }
}
