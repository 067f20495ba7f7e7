import Harness
import Testing

@testable import RemoteService

@Suite("The sidecar's journal")
struct JournalTests {
  private let catalog: JournalCatalog

  init() throws { catalog = try JournalCatalog(named: "baton-remote.catalog") }

  @Test("has an explanation for every kind of message, and no other")
  func complete() {
    #expect(catalog.repeated.isEmpty, "\(catalog.repeated) are there twice")
    let entries = catalog.entries
    let ids = RemoteMessageID.allCases.map(\.rawValue)
    #expect(Set(ids).count == ids.count, "no id is used twice")
    #expect(Set(entries.keys) == Set(ids))
    for id in ids {
      #expect(id.count == 32 && id.allSatisfy { $0.isHexDigit && !$0.isUppercase })
      #expect(entries[id]?.subject.isEmpty == false)
      #expect((entries[id]?.body.count ?? 0) > 40)
    }
  }

  @Test("has explanations that put in only fields which their messages have")
  func fields() throws {
    let ofLinks = ["BATON_VM", "BATON_PEER"]
    let known: [RemoteMessageID: [String]] = [
      .guestAwaited: ["BATON_VM"], .linkOpened: ofLinks, .linkEnded: ofLinks,
      .linkLost: ofLinks + ["BATON_FAULT", "BATON_REFUSAL"],
      .refused: ["BATON_PEER", "BATON_FAULT", "BATON_REFUSAL"], .answered: ["BATON_PEER"],
      .certificatesKept: ["BATON_FAULT", "BATON_REFUSAL"],
    ]
    for (text, entry) in catalog.entries {
      let id = try #require(RemoteMessageID(rawValue: text))
      let fields = try #require(entry.fields, "\(id)")
      for field in fields { #expect(known[id]?.contains(field) == true, "\(id): \(field)") }
    }
  }

  @Test("shows nothing of a peer's or a VMM's text that would move a cursor or begin another line")
  func harmless() {
    let evil = "x\u{1B}[2J\r\nbaton-remote: all is well\u{202E}\u{200B}\u{7}"
    let faults: [RemoteFault] = [
      .malformedLine(evil), .secondWaiter(guest: evil), .unreachable(host: evil, reason: evil),
      .connectLate(host: evil, milliseconds: 1), .handshakeLate(peer: evil, milliseconds: 1),
      .certificateMissing(peer: evil), .certificateRejected(peer: evil, reason: evil),
      .ownCertificateRejected(peer: evil, reason: evil), .ownCertificateUnusable(file: evil, reason: evil),
      .wrongPeerName(expected: evil, found: [evil]), .peerNotAllowed(peer: evil, names: [evil]),
      .oldTLSVersion(peer: evil), .unknownProtocol(peer: evil, offered: evil),
      .tlsFailed(peer: evil, reason: evil), .notWaiting(guest: evil),
      .refusedByPeer(peer: evil, refusal: "x", sentence: evil), .linkLost(peer: evil, reason: evil),
      .idle(peer: evil, milliseconds: 1), .registryUnanswered(reason: evil),
      .registryRefused(refusal: "x", sentence: evil),
    ]
    for fault in faults {
      for scalar in fault.description.unicodeScalars {
        #expect(scalar.properties.generalCategory != .control, "\(fault.name)")
        #expect(scalar.properties.generalCategory != .format, "\(fault.name)")
      }
    }
  }
}
