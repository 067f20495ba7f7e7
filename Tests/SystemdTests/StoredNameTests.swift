import BatonCore
import BatonWire
import Testing

@testable import RegistryService

@Suite("The name of a stored descriptor")
struct StoredNameTests {
  private func attempt(_ guest: String = "vm1") throws -> StoredAttempt {
    StoredAttempt(guest: try #require(GuestName(guest)), epoch: 3, handoff: 12)
  }

  private static let kinds: [StoredName.Kind] = [
    .facts, .ram(0), .ram(63), .state, .vm, .takeBackVM(0), .named(3_899),
    .successorVM(ProcessID(pid: 4711, startTime: 123_456_789), 0),
  ]

  @Test("says what it is, of which guest, epoch and handoff", arguments: kinds)
  func roundTrip(_ kind: StoredName.Kind) throws {
    for guest in ["vm1", "a.b.c", "x-1_2.3", String(repeating: "g", count: 63)] {
      let name = StoredName(kind, try attempt(guest))
      #expect(StoredName(name.text) == name)
      #expect(name.text.utf8.count <= 255)
      #expect(!name.text.contains(":"))
    }
  }

  @Test("is readable for people")
  func text() throws {
    #expect(StoredName(.ram(0), try attempt()).text == "ram-0.3.12.vm1")
  }

  @Test(
    "that this registry does not write is none of its own",
    arguments: [
      "", "stored", "varlink", "ram", "ram-0", "ram-0.3.12", "ram-0.3.12.", "ram.3.12.vm1", "ram-00.3.12.vm1",
      "ram--1.3.12.vm1", "ram-+1.3.12.vm1", "ram-0.03.12.vm1", "ram-0.3.x.vm1", "ram-0.3.12.vm 1",
      "ram-0.3.12..vm1", "state-0.3.12.vm1", "disk-0.3.12.vm1", "successor-1-2.3.12.vm1",
      "ram-0.99999999999999999999.12.vm1",
    ])
  func foreign(_ text: String) {
    #expect(StoredName(text) == nil)
  }
}
