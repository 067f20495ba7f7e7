import BatonCore
import BatonWire
import RegistryInterface
import Testing

@testable import LinuxOS
@testable import RegistryService

/// They share descriptor numbers.
@Suite("Custody that comes back from the descriptor store", .serialized)
struct RestoredCustodyTests {
  private func guest() throws -> GuestName { try #require(GuestName("vm.1")) }

  @Test(
    "is put together by its names, whatever the order",
    arguments: [GuestRecord.Phase.staged, .claimed, .rollback])
  func restored(_ phase: GuestRecord.Phase) throws {
    let stored = try StoredHandoff(guest: try guest(), way: .token)
    var passed = stored.passed()
    let found = RestoredCustody.collect(&passed, [stored.record(phase)])
    let custody = try #require(found.guests[try guest()])
    #expect(custody.user == StoredHandoff.user)
    #expect(custody.held.manifest == stored.manifest)
    #expect(custody.held.stage == stored.stage)
    #expect(custody.names == Set(stored.names))
    #expect(custody.held.custody.hasRAM && custody.held.custody.hasState && custody.held.custody.hasVM)
    #expect(custody.custody.count == 4)
    #expect(found.leftovers.isEmpty && found.strays.isEmpty && found.useless.isEmpty)
    let rest = passed.names
    #expect(rest.isEmpty)
  }

  @Test(
    "of a handoff that is over is closed and forgotten", arguments: [GuestRecord.Phase.idle, .lost, .ended])
  func over(_ phase: GuestRecord.Phase) throws {
    let stored = try StoredHandoff(guest: try guest(), way: .token)
    var passed = stored.passed()
    let found = RestoredCustody.collect(&passed, [stored.record(phase)])
    #expect(found.guests.isEmpty)
    #expect(Set(found.leftovers) == Set(stored.names))
    for offset in stored.names.indices { #expect(!isOpen(StoredHandoff.first + Int32(offset))) }
  }

  @Test("of another epoch is closed and forgotten")
  func otherEpoch() throws {
    let stored = try StoredHandoff(guest: try guest(), way: .token)
    var passed = stored.passed()
    let found = RestoredCustody.collect(&passed, [stored.record(.staged, epoch: 3)])
    #expect(found.guests.isEmpty && found.leftovers.count == stored.names.count)
  }

  @Test(
    "with a part missing is of no use",
    arguments: [StoredName.Kind.facts, .ram(0), .state, .vm, .named(0)])
  func missing(_ kind: StoredName.Kind) throws {
    let stored = try StoredHandoff(guest: try guest(), way: .token, without: kind)
    var passed = stored.passed()
    let found = RestoredCustody.collect(&passed, [stored.record(.staged)])
    #expect(found.guests.isEmpty)
    #expect(found.useless.count == 1)
    #expect(Set(found.leftovers) == Set(stored.names), "nothing of it stays in the store")
  }

  @Test("that was never staged is of no use")
  func notStaged() throws {
    let stored = try StoredHandoff(guest: try guest(), way: .token, isStaged: false)
    var passed = stored.passed()
    let found = RestoredCustody.collect(&passed, [stored.record(.staged)])
    #expect(found.guests.isEmpty && found.useless.count == 1)
  }

  @Test("leaves descriptors of unknown names to be closed and removed")
  func strays() throws {
    let stored = try StoredHandoff(guest: try guest(), way: .none)
    try open(memfd: "stray", at: StoredHandoff.first + Int32(stored.names.count))
    var passed = stored.passed(also: ["from-the-next-version"])
    let found = RestoredCustody.collect(&passed, [stored.record(.staged)])
    #expect(found.strays == ["from-the-next-version"])
    #expect(found.guests.count == 1)
    #expect(!isOpen(StoredHandoff.first + Int32(stored.names.count)))
  }
}

@Suite("Stored facts")
struct StoredFactsTests {
  private func stored() throws -> StoredHandoff {
    try StoredHandoff(guest: try #require(GuestName("vm1")), way: .move)
  }

  @Test("tell whose guest it is, what was offered, and what was staged last")
  func roundTrip() throws {
    let stored = try stored()
    let facts = try StoredFacts.create(user: 12, handoff: 7, manifest: stored.manifest)
    var stage = stored.stage
    for size in 1...5 {
      stage.envelopeByteCount = UInt64(StateEnvelope.headerByteCount + size)
      facts.note(stage, handoff: 7)
      let (_, contents) = try #require(StoredFacts.open(try facts.memfd.duplicate()))
      #expect(contents.user == 12)
      #expect(contents.handoff == 7)
      #expect(contents.manifest == stored.manifest)
      #expect(contents.stage == stage)
    }
  }

  @Test("tell in which slot the owner was that staged", arguments: [nil, Slot.a, Slot.b])
  func slot(_ slot: Slot?) throws {
    let stored = try stored()
    let facts = try StoredFacts.create(user: 12, slot: slot, handoff: 7, manifest: stored.manifest)
    let (_, contents) = try #require(StoredFacts.open(try facts.memfd.duplicate()))
    #expect(contents.slot == slot)
  }

  @Test(
    "with a changed byte are refused, or say something that can be checked",
    arguments: [0, 8, 10, 16, 20, 24, 28, 1_060])
  func damaged(_ offset: Int) throws {
    let stored = try stored()
    let facts = try StoredFacts.create(user: 12, handoff: 7, manifest: stored.manifest)
    facts.note(stored.stage, handoff: 7)
    let byte = try facts.memfd.read(count: 1, at: UInt64(offset))
    try facts.memfd.write([byte[0] ^ 0xff], at: UInt64(offset))
    #expect(StoredFacts.open(try facts.memfd.duplicate())?.1.stage != stored.stage)
  }

  @Test("are not read from a file that could shrink, or that is none")
  func notSealed() throws {
    let unsealed = isReadable(try Memfd.create(name: "facts", byteCount: 4096))
    #expect(!unsealed)
    let device = isReadable(try Files.open("/dev/null", .readOnly))
    #expect(!device)
    let file = try Memfd.create(name: "facts", byteCount: 512)
    try file.addSeals(.ram)
    let short = isReadable(file)
    #expect(!short)
  }

  private func isReadable(_ memfd: consuming OwnedDescriptor) -> Bool { StoredFacts.open(memfd) != nil }
}
