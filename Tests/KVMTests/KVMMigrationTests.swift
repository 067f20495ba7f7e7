import KVM
import LinuxOS
import Testing

@Suite("What KVM tells a VMM that migrates", .enabled(if: KVMHost.isThere, "/dev/kvm cannot be opened here"))
struct KVMMigrationTests {
  private static let control: UInt32 = 0x4B56_4D08

  @Test("is which pages the guest wrote, each once, from the start of the log to its end")
  func dirtyLog() throws {
    let guest = try TinyGuest(
      code: Code.touch(0x5_0000) + Code.tell + Code.touch(0x6_0000) + Code.touch(0x6_1000)
        + Code.touch(0x20_0000) + Code.tell + Code.tell + Code.touch(0x6_1234) + Code.tell
        + Code.touch(0x7_0000) + Code.tell)
    var pages = KVMDirtyPages(guest.vm.memory)
    #expect(throws: KVMError.self) { try guest.vm.collectDirtyPages(into: &pages) }
    #expect(try guest.run().told != nil)
    try guest.vm.startDirtyLog()
    try guest.vm.collectDirtyPages(into: &pages)
    #expect(pages.isEmpty, "what was written before the log began is not in it")
    #expect(try guest.run().told != nil)
    try guest.vm.collectDirtyPages(into: &pages)
    var runs: [Range<UInt64>] = []
    pages.forEachRun { runs.append($0) }
    #expect(runs == [0x60..<0x62, 0x200..<0x201])
    pages.removeAll()
    #expect(try guest.run().told != nil)
    try guest.vm.collectDirtyPages(into: &pages)
    #expect(pages.isEmpty, "nothing was written since")
    #expect(try guest.run().told != nil)
    try guest.vm.collectDirtyPages(into: &pages)
    #expect(pages.popFirst() == 0x61)
    #expect(pages.isEmpty, "a page that is written again is dirty again")
    try guest.vm.stopDirtyLog()
    #expect(try guest.run().told != nil)
    #expect(throws: KVMError.self) { try guest.vm.collectDirtyPages(into: &pages) }
  }

  @Test("is the guest's access to the register for live migration, and to no other one")
  func registers() throws {
    let guest = try TinyGuest(
      code: Code.setC(Self.control) + Code.clearD + Code.setA(1) + Code.writeMSR + Code.readMSR + Code.tell)
    try guest.vm.interceptMSRs([Self.control])
    let vcpu = guest.vm.vcpus[0]
    #expect(
      try guest.run() == .writeMSR(KVMMSRAccess(index: Self.control, value: 1, reason: .filtered)))
    #expect(
      try guest.run() == .readMSR(KVMMSRAccess(index: Self.control, value: 0, reason: .filtered)))
    vcpu.answerMSR(0x1_0000_0005)
    #expect(try guest.run().told == 5)
  }

  @Test("can be the guest's hypercalls about pages, where the kernel has them")
  func hypercalls() throws {
    let mask = try KVMSystem().capability(.exitHypercall)
    guard mask & 1 << 12 != 0 else {
      print("SKIPPED: this kernel does not leave a guest for KVM_HC_MAP_GPA_RANGE (mask \(mask))")
      return
    }
    // That the guest is left then is not tested on real vCPUs: some hosts run their hypervisor in a guest and
    // never give the instruction out.
    try TinyGuest(code: Code.tell).vm.exitOnPageStatus()
  }

  @Test("offers the guest what the VMM does for it, besides KVM's own features")
  func features() throws {
    let code = Code.setA(0x4000_0001) + Code.cpuid + Code.tell
    let plain = try TinyGuest(code: code)
    let own = try #require(try plain.run().told)
    #expect(own == plain.vm.guestFeatures)
    #expect(own & 0x3_0000 == 0)
    let offered = try TinyGuest(code: code, guestFeatures: 0x3_0000)
    #expect(try offered.run().told == own | 0x3_0000)
    #expect(offered.vm.guestFeatures == own | 0x3_0000)
  }
}
