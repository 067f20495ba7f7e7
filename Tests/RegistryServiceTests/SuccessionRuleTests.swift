import BatonWire
import RegistryInterface
import Testing

@testable import RegistryService

/// A line of the table: who comes to whose guest, and what is said.
struct SuccessionCase: Sendable, CustomTestStringConvertible {
  let testDescription: String
  var applicant: SuccessionRule.Applicant
  var owner: SuccessionRule.Owner?
  var barred: [BarredSlot] = []
  /// Nil: nothing speaks against it.
  var refusal: BatonWire.Refusal?
  /// What the sentence says beside other things.
  var says: [String] = []
}

@Suite("Who may come to a guest")
struct SuccessionRuleTests {
  static let rule = SuccessionRule(allowedUsers: [77])

  private static func from(
    _ unit: String?, user: UInt32 = 500, _ standing: SuccessionRule.Standing = .newcomer
  ) -> SuccessionRule.Applicant {
    SuccessionRule.Applicant(user: user, unit: unit, standing: standing)
  }

  private static func owner(
    _ slot: Slot?, user: UInt32? = 500, isAlive: Bool = true
  ) -> SuccessionRule.Owner {
    SuccessionRule.Owner(user: user, slot: slot, isAlive: isAlive)
  }

  private static let slotA = "baton-vmm-a@vm1.service"
  private static let slotB = "baton-vmm-b@vm1.service"

  static let cases: [SuccessionCase] = [
    // A guest that nobody has.
    .init(testDescription: "anybody may be a guest's first VMM", applicant: from(nil, user: 12)),
    .init(testDescription: "a slot's unit may be its guest's first VMM", applicant: from(slotB, user: 12)),
    .init(
      testDescription: "a slot's unit is never another guest's VMM",
      applicant: from("baton-vmm-a@vm2.service"),
      refusal: .wrongPeer, says: ["guest vm2", slotA]),
    .init(
      testDescription: "not even as root", applicant: from("baton-vmm-a@vm10.service", user: 0),
      refusal: .wrongPeer),
    .init(
      testDescription: "not even when it says that it is there already",
      applicant: from("baton-vmm-b@vm2.service", .returning), refusal: .wrongPeer),
    // An owner in a slot.
    .init(
      testDescription: "the other slot succeeds, whatever its user", applicant: from(slotB, user: 9),
      owner: owner(.a)),
    .init(
      testDescription: "back from the other slot too", applicant: from(slotA), owner: owner(.b)),
    .init(
      testDescription: "the owner's own slot does not succeed a living owner", applicant: from(slotA),
      owner: owner(.a), refusal: .wrongPeer, says: [slotB, "batonctl upgrade vm1"]),
    .init(
      testDescription: "the owner's own slot succeeds one that is gone", applicant: from(slotA),
      owner: owner(.a, isAlive: false)),
    .init(
      testDescription: "so does the other one", applicant: from(slotB), owner: owner(.a, isAlive: false)),
    .init(
      testDescription: "a unit that is no slot does not", applicant: from("vmm.service"), owner: owner(.a),
      refusal: .wrongPeer, says: ["vmm.service", slotB]),
    .init(
      testDescription: "a process outside of units does not, of the same user", applicant: from(nil),
      owner: owner(.b), refusal: .wrongPeer, says: [slotA]),
    .init(
      testDescription: "root outside of units does not", applicant: from(nil, user: 0), owner: owner(.a),
      refusal: .wrongPeer),
    .init(
      testDescription: "an allowed user outside of units does not", applicant: from(nil, user: 77),
      owner: owner(.a), refusal: .wrongPeer),
    .init(
      testDescription: "nor when the owner is gone", applicant: from(nil), owner: owner(.a, isAlive: false),
      refusal: .wrongPeer, says: [slotA, slotB]),
    .init(
      testDescription: "a user's own manager has no slots", applicant: from("user@1000.service"),
      owner: owner(.a), refusal: .wrongPeer),
    // An owner outside of slots.
    .init(testDescription: "the same user succeeds", applicant: from(nil), owner: owner(nil)),
    .init(testDescription: "root succeeds", applicant: from(nil, user: 0), owner: owner(nil)),
    .init(testDescription: "an allowed user succeeds", applicant: from(nil, user: 77), owner: owner(nil)),
    .init(
      testDescription: "another user does not", applicant: from(nil, user: 501), owner: owner(nil),
      refusal: .wrongPeer, says: ["user 501"]),
    .init(
      testDescription: "a slot of the same user succeeds", applicant: from(slotA), owner: owner(nil)),
    .init(
      testDescription: "a slot of another user does not", applicant: from(slotA, user: 501),
      owner: owner(nil), refusal: .wrongPeer),
    .init(
      testDescription: "whoever comes succeeds when nobody knows whose guest it is",
      applicant: from(nil, user: 501), owner: owner(nil, user: nil)),
    // Who is known, or comes back to a registry that lost its journal.
    .init(
      testDescription: "who is known is heard from its own slot", applicant: from(slotA, .known),
      owner: owner(.a)),
    .init(
      testDescription: "who is known is heard although its slot is barred", applicant: from(slotA, .known),
      owner: owner(.b), barred: [bar(.a)]),
    .init(
      testDescription: "who comes back is heard from the owner's slot", applicant: from(slotA, .returning),
      owner: owner(.a)),
    .init(
      testDescription: "who comes back from outside is not", applicant: from(nil, .returning),
      owner: owner(.a), refusal: .wrongPeer),
    // Slots that failed.
    .init(
      testDescription: "a slot that failed is refused", applicant: from(slotB), owner: owner(.a),
      barred: [bar(.b)], refusal: .fencedInThisEpoch,
      says: ["slot b", "process 7 declined", "batonctl upgrade vm1"]),
    .init(
      testDescription: "as root too", applicant: from(slotB, user: 0), owner: owner(.a), barred: [bar(.b)],
      refusal: .fencedInThisEpoch),
    .init(
      testDescription: "the other slot is not", applicant: from(slotB), owner: owner(.a), barred: [bar(.a)]),
    .init(
      testDescription: "a slot that failed is refused while the guest waits in custody",
      applicant: from(slotA), owner: owner(.a, isAlive: false), barred: [bar(.a)],
      refusal: .fencedInThisEpoch),
    .init(
      testDescription: "a slot that failed is refused when the owner is in none", applicant: from(slotA),
      owner: owner(nil), barred: [bar(.a)], refusal: .fencedInThisEpoch),
    .init(
      testDescription: "an owner's own slot is the wrong one before it is a barred one",
      applicant: from(slotA), owner: owner(.a), barred: [bar(.a)], refusal: .wrongPeer),
  ]

  private static func bar(_ slot: Slot) -> BarredSlot {
    BarredSlot(slot: slot, sentence: "process 7 declined", sinceRealtimeMicroseconds: 1)
  }

  @Test("is decided from units, users and the owner", arguments: cases)
  func table(_ line: SuccessionCase) throws {
    let guest = SuccessionRule.Guest(
      name: try #require(GuestName("vm1")), owner: line.owner, barred: line.barred)
    let objection = Self.rule.objection(to: line.applicant, for: guest)
    #expect(objection?.refusal == line.refusal)
    for text in line.says {
      #expect(objection?.sentence.contains(text) == true, "\(objection?.sentence ?? "nothing") lacks \(text)")
    }
  }

  @Test("a guest that left comes back to its own user, or to one that may have any guest")
  func arrivalBack() throws {
    let name = try #require(GuestName("vm1"))
    func refusal(_ user: UInt32, _ former: UInt32?) -> BatonWire.Refusal? {
      Self.rule.objection(toArrivalBy: user, of: name, formerlyOf: former)?.refusal
    }
    for user: UInt32 in [500, 0, 77] { #expect(refusal(user, 500) == nil) }
    #expect(refusal(501, 500) == .wrongPeer)
    #expect(refusal(501, 0) == .wrongPeer)
    // After a restart of the registry its VMM is gone, and nobody knows.
    #expect(refusal(501, nil) == nil)
  }
}
