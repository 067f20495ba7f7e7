import BatonWire
import Harness
import Testing

@testable import RegistryService

@Suite("The journal catalog")
struct CatalogTests {
  private let catalog: JournalCatalog

  init() throws { catalog = try JournalCatalog(named: "baton.catalog") }

  @Test("explains every kind of message, and nothing else")
  func complete() {
    #expect(catalog.repeated.isEmpty, "\(catalog.repeated) are there twice")
    let entries = catalog.entries
    let ids = Refusal.allCases.map(\.journalMessageID) + RegistryMessageID.allCases.map(\.rawValue)
    #expect(Set(ids).count == ids.count, "no id is used twice")
    #expect(Set(entries.keys) == Set(ids))
    for id in ids {
      #expect(id.count == 32 && id.allSatisfy { $0.isHexDigit && !$0.isUppercase })
      #expect(entries[id]?.subject.isEmpty == false)
      #expect((entries[id]?.body.count ?? 0) > 40)
    }
  }

  @Test("puts in only fields that messages have")
  func fields() throws {
    let known = [
      "BATON_VM", "BATON_HANDOFF", "BATON_EPOCH", "BATON_REFUSAL", "BATON_UNIT", "BATON_PEER_PID",
      "BATON_BLACKOUT_USEC",
    ]
    for (id, entry) in catalog.entries {
      let fields = try #require(entry.fields, "\(id)")
      for field in fields { #expect(known.contains(field), "\(id): \(field)") }
    }
  }
}
