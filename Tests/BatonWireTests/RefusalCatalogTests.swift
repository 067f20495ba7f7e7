import BatonWire
import Testing

@Suite("The catalog of refusals")
struct RefusalCatalogTests {
  @Test("names every refusal, each differently, in lower camel case")
  func names() {
    let names = Refusal.allCases.map(\.name)
    #expect(Set(names).count == names.count)
    for name in names {
      #expect(name.first?.isLowercase == true)
      #expect(name.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) })
    }
    #expect(Refusal.batonUsed.name == "batonUsed")
  }

  @Test(
    "has a sentence for each, different from all others, without a full stop", arguments: Refusal.allCases)
  func sentences(_ refusal: Refusal) {
    let sentence = refusal.sentence
    #expect(sentence.count > 20)
    #expect(!sentence.hasSuffix("."))
    #expect(sentence.utf8.count <= 512, "it must fit into a record with room for details")
    #expect(Refusal.allCases.count { $0.sentence == sentence } == 1)
  }

  @Test("has for each a message id of 32 hexadecimal digits that no other one has")
  func messageIDs() {
    let ids = Refusal.allCases.map(\.journalMessageID)
    #expect(Set(ids).count == ids.count)
    for id in ids {
      #expect(id.count == 32)
      #expect(id.allSatisfy { $0.isHexDigit && !$0.isUppercase })
    }
  }

  @Test("tells a lost guest from a safe one by the exit code")
  func exitCodes() {
    #expect(Refusal.guestLost.exitCode == 4)
    #expect(Refusal.sourceDestroyed.exitCode == 4)
    #expect(Refusal.sealsMissing.exitCode == 3)
    #expect(Refusal.batonUsed.exitCode == 11)
    let known: Set<Int32> = [1, 3, 4, 7, 8, 10, 11, 12]
    for refusal in Refusal.allCases { #expect(known.contains(refusal.exitCode)) }
  }

  @Test("gives each an error of io.baton.Registry", arguments: Refusal.allCases)
  func varlinkErrors(_ refusal: Refusal) {
    #expect(refusal.varlinkError.hasPrefix("io.baton.Registry."))
  }
}
