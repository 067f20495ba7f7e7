import LinuxOS
import ReferenceVMM
import Testing

@Suite("Guest memory that is prepared ahead")
struct MemoryPreparationTests {
  @Test("has the same contents after its pages were taken out of the page tables, and back into them")
  func contents() throws {
    let memory = try guestRAM(mebibytes: 16)
    memory.fillWords(at: 0, count: memory.byteCount / 8, first: 7, step: 3)
    try memory.unpopulate()
    #expect(memory.wordsMatch(at: 0, count: memory.byteCount / 8, first: 7, step: 3))
    try memory.unpopulate()
    try memory.populate(at: 4096, count: memory.byteCount - 4096)
    #expect(memory.wordsMatch(at: 0, count: memory.byteCount / 8, first: 7, step: 3))
  }

  @Test("may be taken out of the page tables while the guest runs, which notices nothing")
  func underARunningGuest() throws {
    let memory = try guestRAM(mebibytes: 16)
    let machine = try SoftwareMachine.loadingGuest(
      into: memory, MachineConfiguration(ramBytes: 16 << 20, vcpuCount: 2),
      devices: MachineDevices(console: Console()))
    defer { machine.end() }
    try machine.start()
    _ = machine.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000)
    var counter: UInt64 = 0
    for _ in 0..<50 {
      try memory.unpopulate()
      let deadline = MonotonicClock.now() + 10_000_000_000
      var report = try machine.report()
      while report.counter <= counter, MonotonicClock.now() < deadline { report = try machine.report() }
      #expect(report.counter > counter)
      #expect(report.pageErrors == 0)
      #expect(report.problems.isEmpty)
      counter = report.counter
    }
  }
}
