import RegistryInterface
import Testing

@testable import batonctl

@Suite("The slot of a successor")
struct SlotChoiceTests {
  @Test("is the other one while the guest has an owner, barred or not", arguments: Slot.allCases)
  func other(_ slot: Slot) throws {
    var guest = Samples.guest(slot: slot)
    #expect(try SlotChoice.slot(for: guest, last: nil) == slot.other)
    guest.barredSlots = Samples.barred(slot.other)
    #expect(try SlotChoice.slot(for: guest, last: nil) == slot.other)
  }

  @Test("of a guest that waits is the same after a restart in place, the other one after another handoff")
  func waiting() throws {
    let guest = Samples.guest(.waiting, slot: .b, hasOwner: false)
    var last = Samples.handoff(.inProgress)
    #expect(try SlotChoice.slot(for: guest, last: last) == .a)
    last.parked = true
    #expect(try SlotChoice.slot(for: guest, last: last) == .b)
    #expect(try SlotChoice.slot(for: Samples.guest(.waiting, slot: nil, hasOwner: false), last: nil) == .a)
  }

  @Test("of a guest that waits is one that is not barred, if there is one")
  func barred() throws {
    var guest = Samples.guest(.waiting, slot: .a, hasOwner: false)
    guest.barredSlots = Samples.barred(.b)
    #expect(try SlotChoice.slot(for: guest, last: nil) == .a)
    guest.barredSlots = Samples.barred(.a)
    #expect(try SlotChoice.slot(for: guest, last: nil) == .b)
    guest.barredSlots = Samples.barred(.a, .b)
    #expect(try SlotChoice.slot(for: guest, last: nil) == .b)
  }

  @Test("does not exist for an owner outside of the slots, and the error says where it is and what to do")
  func noSlot() throws {
    let failure = try #require(throws: CommandFailure.self) {
      try SlotChoice.slot(for: Samples.guest(slot: nil), last: nil)
    }
    #expect(failure.cause == "its owner, process 4711, runs in session-4.scope, which is no slot")
    #expect(failure.remedy?.contains("--exec") == true)
    #expect(failure.status == .failure)
  }

  @Test("does not exist for a guest that is lost or has ended", arguments: [GuestState.lost, .ended])
  func over(_ state: GuestState) throws {
    var guest = Samples.guest(state, hasOwner: false)
    guest.endSentence = "its VMM was killed"
    let failure = try #require(throws: CommandFailure.self) { try SlotChoice.slot(for: guest, last: nil) }
    #expect(failure.cause == "its VMM was killed")
    #expect(failure.status == (state == .lost ? .guestLost : .guestEnded))
  }
}
