import LinuxOS
import ReferenceVMM
import Testing

@Suite("The settings of a guest")
struct GuestSettingsTests {
  private func read(_ settings: [String: String]) throws -> VMMOptions {
    try GuestSettings.read(settings, guest: "vm1")
  }

  private func problems(_ settings: [String: String]) -> [String] {
    do throws(GuestSettings.Problems) {
      _ = try GuestSettings.read(settings, guest: "vm1")
      return []
    } catch {
      return error.sentences
    }
  }

  @Test("need the size of RAM and nothing else")
  func least() throws {
    let options = try read(["BATON_MEMORY": "256M"])
    #expect(options.guest == "vm1")
    #expect(options.configuration.ramBytes == 256 << 20)
    #expect(options.configuration.vcpuCount == 2)
    #expect(options.configuration.dutyPercent == 100)
    #expect(options.kind == .auto)
    #expect(options.sev == .none)
    #expect(!options.encryptsState)
    #expect(options.handoff == .auto)
    #expect(options.pages == .base)
    #expect(options.diskPath == nil && options.console == nil && options.events == nil)
    #expect(options.registry == "/run/baton/handoff")
    #expect(options.modelSocket == "/run/baton/sevmodeld")
    #expect(options.givesCustody)
    #expect(options.misbehaviour == nil)
    #expect(problems([:]).count == 1)
    #expect(problems([:])[0].hasPrefix("BATON_MEMORY is missing"))
  }

  @Test("say how a guest comes from another host and goes there")
  func otherHosts() throws {
    let usual = try read(["BATON_MEMORY": "256M"])
    #expect(!usual.isIncoming && !usual.waitsIfAbsent)
    #expect(usual.remoteSocket == "/run/baton/remote.sock" && usual.linkTimeoutMilliseconds == 10_000)
    #expect(usual.offersMigration && usual.trustsModelRoot)
    #expect(usual.uefiVariables == nil && usual.signedCEK == nil && usual.amdChain == nil)
    let options = try read([
      "BATON_MEMORY": "256M", "BATON_INCOMING": "yes", "BATON_REMOTE_SOCKET": "/run/other/remote",
      "BATON_LINK_TIMEOUT": "2500", "BATON_MIGRATION": "no", "BATON_SEV_POLICY": "0x21",
      "BATON_UEFI_VARIABLES": "vars.fd", "BATON_TRUST_MODEL_ROOT": "no", "BATON_SIGNED_CEK": "/etc/cek",
      "BATON_AMD_CHAIN": "/etc/chain",
    ])
    // It waits only where nobody has the guest: the file is also its successors'.
    #expect(options.waitsIfAbsent && !options.isIncoming)
    #expect(options.remoteSocket == "/run/other/remote" && options.linkTimeoutMilliseconds == 2500)
    #expect(!options.offersMigration && !options.trustsModelRoot)
    #expect(options.policy == SEVPolicyBits(text: "21"))
    #expect(options.uefiVariables == "vars.fd")
    #expect(options.signedCEK == "/etc/cek" && options.amdChain == "/etc/chain")
    for (key, value) in [
      ("BATON_INCOMING", "maybe"), ("BATON_LINK_TIMEOUT", "0"), ("BATON_SEV_POLICY", "NOSEND"),
      ("BATON_SIGNED_CEK", ""),
    ] {
      let found = problems(["BATON_MEMORY": "256M", key: value])
      #expect(found.count == 1 && found[0].hasPrefix("\(key)=\(value) is wrong"), "\(found)")
    }
  }

  @Test("are all taken as they are written")
  func everything() throws {
    let options = try read([
      "BATON_MEMORY": "4G", "BATON_VCPUS": "8", "BATON_VCPU": "software", "BATON_SEV": "model",
      "BATON_SEV_ES": "yes", "BATON_HANDOFF": "move", "BATON_HUGEPAGES": "1G", "BATON_DISK": "disk.raw",
      "BATON_CONSOLE": "/run/baton-vmm/console", "BATON_EVENTS": "/run/baton-vmm/events", "BATON_DUTY": "5",
      "BATON_REGISTRY": "/run/other/handoff", "BATON_MODEL_SOCKET": "/run/other/model",
      "BATON_CUSTODY": "no", "BATON_MISBEHAVE": "decline", "BATON_STATE_FORMAT": "1",
      "BATON_CRASH_AT": "sourceFrozen", "BATON_STOP_AT": "successorClaimed",
    ])
    #expect(options.configuration.ramBytes == 4 << 30)
    #expect(options.configuration.vcpuCount == 8)
    #expect(options.configuration.dutyPercent == 5)
    #expect(options.kind == .software)
    #expect(options.sev == .model)
    #expect(options.encryptsState)
    #expect(options.handoff == .move)
    #expect(options.pages == .oneGibibyte)
    #expect(options.diskPath == "disk.raw")
    #expect(options.console == "/run/baton-vmm/console")
    #expect(options.events == "/run/baton-vmm/events")
    #expect(options.registry == "/run/other/handoff")
    #expect(options.modelSocket == "/run/other/model")
    #expect(!options.givesCustody)
    #expect(options.misbehaviour == .decline)
    #expect(options.stateFormat == 1)
  }

  @Test(
    "that are wrong are refused with the name of the key and what it is to be",
    arguments: [
      ("BATON_MEMORY", "", "a multiple of 2M"), ("BATON_MEMORY", "12X", "a multiple of 2M"),
      ("BATON_MEMORY", "-16M", "a multiple of 2M"), ("BATON_MEMORY", "+16M", "a multiple of 2M"),
      ("BATON_MEMORY", "17M", "a multiple of 2M"), ("BATON_MEMORY", "8M", "from 16M"),
      ("BATON_MEMORY", "61G", "to 60G"), ("BATON_MEMORY", "99999999999999999999G", "a multiple of 2M"),
      ("BATON_VCPUS", "0", "a number from 1 to 32"), ("BATON_VCPUS", "33", "a number from 1 to 32"),
      ("BATON_VCPUS", "two", "a number from 1 to 32"), ("BATON_VCPU", "real", "auto, kvm or software"),
      ("BATON_SEV", "yes", "model or none"), ("BATON_SEV_ES", "true", "yes or no"),
      ("BATON_HANDOFF", "copy", "token, move or auto"), ("BATON_HUGEPAGES", "4M", "none, 2M or 1G"),
      ("BATON_DISK", "", "a path"), ("BATON_CONSOLE", "", "a path"), ("BATON_EVENTS", "", "a path"),
      ("BATON_REGISTRY", "", "a path"), ("BATON_MODEL_SOCKET", "", "a path"),
      ("BATON_DUTY", "101", "a number from 1 to 100"), ("BATON_CUSTODY", "maybe", "yes or no"),
      ("BATON_STATE_FORMAT", "0", "a number from"), ("BATON_CRASH_AT", "nowhere", "sourcePrepare"),
    ])
  func wrong(key: String, value: String, wanted: String) {
    let found = problems(["BATON_MEMORY": "256M"].merging([key: value]) { $1 })
    #expect(found.count == 1)
    #expect(found.first?.hasPrefix("\(key)=\(value) is wrong: it is to be ") == true)
    #expect(found.first?.contains(wanted) == true)
  }

  @Test("that nobody knows are refused by name, with those that there are and without those for tests")
  func unknown() {
    let found = problems(["BATON_MEMORY": "256M", "BATON_MEMROY": "1G", "BATON_": "x"])
    #expect(found.count == 2)
    #expect(found[0].hasPrefix("BATON_ is no setting; there are BATON_MEMORY, BATON_VCPUS, "))
    #expect(found[1].hasPrefix("BATON_MEMROY is no setting; "))
    #expect(!found[0].contains("BATON_CRASH_AT"))
  }

  @Test("are all looked at before anything is said")
  func severalProblems() {
    let found = problems(["BATON_VCPUS": "x", "BATON_DUTY": "0", "BATON_SEV_ES": "yes", "BATON_X": ""])
    #expect(found.count == 5)
  }

  @Test("that contradict each other are refused")
  func contradictions() {
    #expect(
      problems(["BATON_MEMORY": "256M", "BATON_SEV_ES": "yes"])
        == ["BATON_SEV_ES=yes needs a SEV guest: BATON_SEV=model"])
    #expect(
      problems(["BATON_MEMORY": "1536M", "BATON_HUGEPAGES": "1G"])
        == ["BATON_MEMORY=1536M is no multiple of BATON_HUGEPAGES=1G"])
  }

  @Test(
    "take sizes in bytes, K, M and G",
    arguments: [("16777216", 16 << 20), ("16384K", 16 << 20), ("16M", 16 << 20), ("1g", 1 << 30)])
  func sizes(text: String, bytes: Int) throws {
    #expect(try read(["BATON_MEMORY": text]).configuration.ramBytes == bytes)
  }
}
