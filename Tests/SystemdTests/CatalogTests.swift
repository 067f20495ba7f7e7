import BatonWire
import FoundationEssentials
import Testing

@testable import RegistryService

@Suite("The journal catalog")
struct CatalogTests {
  private struct Entry {
    var subject = ""
    var body = ""
  }

  /// The entries of units/baton.catalog by their message id.
  private func entries() throws -> [String: Entry] {
    let path = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let text = try String(contentsOfFile: "/\(path)/units/baton.catalog", encoding: .utf8)
    var entries: [String: Entry] = [:]
    var current: String?
    for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
      if line.hasPrefix("-- ") {
        let id = String(line.dropFirst(3))
        #expect(entries[id] == nil, "\(id) is there twice")
        entries[id] = Entry()
        current = id
      } else if let id = current {
        if line.hasPrefix("Subject: ") {
          entries[id]?.subject = String(line.dropFirst(9))
        } else if !line.hasPrefix("Defined-By:"), !line.hasPrefix("Documentation:") {
          entries[id]?.body += line
        }
      }
    }
    return entries
  }

  @Test("explains every kind of message, and nothing else")
  func complete() throws {
    let entries = try entries()
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
    for (id, entry) in try entries() {
      // Every other part stands between two @.
      let parts = (entry.subject + entry.body).split(separator: "@", omittingEmptySubsequences: false)
      #expect(parts.count % 2 == 1, "\(id)")
      for index in stride(from: 1, to: parts.count, by: 2) {
        #expect(known.contains(String(parts[index])), "\(id): \(parts[index])")
      }
    }
  }
}
