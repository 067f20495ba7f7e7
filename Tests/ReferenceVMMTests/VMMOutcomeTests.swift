import BatonWire
import ReferenceVMM
import Testing

@Suite("A VMM's exit status")
struct VMMOutcomeTests {
  @Test("is 0 when the guest went on or ended, so that its unit is inactive and not failed")
  func success() {
    #expect(VMMOutcome.released.exitStatus == 0)
    #expect(VMMOutcome.ended.exitStatus == 0)
  }

  @Test("is the refusal's own, or 1, when this process did not get the guest")
  func refusals() {
    #expect(VMMOutcome.refused(.secondSuccessor).exitStatus == 10)
    #expect(VMMOutcome.refused(.wrongPeer).exitStatus == 7)
    #expect(VMMOutcome.refused(.successorDeclined).exitStatus == 3)
    #expect(VMMOutcome.failed.exitStatus == 1)
  }

  @Test("differs from all of them when the settings are wrong")
  func usage() { #expect(VMMOutcome.usageStatus == 64) }

  @Test("names the build of the program that runs, with its build id")
  func build() throws {
    let words = VMMOptions.ownBuild.split(separator: " ")
    #expect(words.count == 4 && words[0] == "baton-vmm" && words[2] == "build-id")
    #expect(words.last?.count == 40 && words.last?.allSatisfy(\.isHexDigit) == true)
    #expect(VMMOptions.ownBuild.utf8.count <= 128)
  }
}
