import GuestImage
import KVM
import LinuxOS
import ReferenceVMM
import Testing

@Suite(
  "A KVM machine", .serialized, .enabled(if: KVMHost.isThere, "/dev/kvm cannot be opened here"))
struct KVMMachineTests {
  @Test("hands its guest on ten times with console, timers, clock and memory in order")
  func tenHops() throws {
    let memory = try guestRAM(mebibytes: 16)
    let configuration = MachineConfiguration(ramBytes: 16 << 20, vcpuCount: 2, kvmTestPages: 2000)
    let reader = try ConsoleReader()
    let devices = MachineDevices(console: reader.console)
    var machine = try KVMMachine.loadingGuest(into: memory, configuration, devices: devices)
    try machine.start()
    var counter: UInt64 = 0
    var lines: UInt64 = 0
    var ticks: UInt64 = 0
    var board: UInt64 = 0
    for hop in 0..<10 {
      let trace = KVMTrace()
      let next = try KVMMachine.awaitingGuest(
        in: memory, configuration, devices: devices, trace: trace)
      let isAdvanced = try eventually {
        let now = try machine.report()
        return now.pagesChecked >= 500 * UInt64(hop + 1) && now.consoleSequence > lines
          && now.timerTicks > ticks && now.boardTicks > board
      }
      #expect(isAdvanced, "the guest does not go on")
      let last = machine.stop()
      #expect(machine.failure == nil)
      let before = try machine.report()
      #expect(before.counter > counter)
      (counter, lines) = (before.counter, before.consoleSequence)
      (ticks, board) = (before.timerTicks, before.boardTicks)
      let state = try machine.saveState()
      #expect(state.count < 64 << 10)

      let ram = memory.read(at: 0, count: memory.byteCount)
      try next.restore(state)
      let isUntouched = memory.read(at: 0, count: memory.byteCount) == ram
      #expect(isUntouched, "restoring changed the guest's RAM")
      #expect(trace.operations == expectedRestore)
      trace.clear()
      try next.run()
      // Only the boot vCPU has a kvmclock. It is the last thing done, because KVM writes its page.
      #expect(
        trace.operations == [
          KVMOperation(.setMSRs, vcpu: 0), KVMOperation(.kvmclockControl, vcpu: 0),
        ])
      let first = try #require(next.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000))
      #expect(first > last)
      #expect(next.feltPauseNanoseconds != nil)
      machine.end()
      machine = next
    }
    #expect(try eventually { try machine.report().pagesChecked > 8000 })
    machine.stop()
    let report = try machine.report()
    #expect(report.problems == [])
    #expect(report.pageErrors == 0)
    #expect(report.counter > counter)
    #expect(report.clockSamples > 0)
    #expect(
      report.largestClockLagNanoseconds < 10_000_000,
      "kvmclock lost time: \(report.largestClockLagNanoseconds) ns")
    #expect(reader.waitForLines(report.consoleSequence))
    let read = try #require(reader.gaplessLineCount)
    // The guest may have been stopped between the line and the word that counts it.
    #expect(read == report.consoleSequence || read == report.consoleSequence + 1)
  }

  /// The order of restoring two vCPUs.
  private var expectedRestore: [KVMOperation] {
    let vcpu: [KVMRequest] = [
      .setCPUID2, .setTSCKilohertz, .setMPState, .setRegs, .setSregs, .setXSAVE, .setXCRs,
      .setDebugRegs, .setLAPIC, .setMSRs, .setVCPUEvents,
    ]
    var expected: [KVMOperation] = []
    for index in 0..<2 { expected += vcpu.map { KVMOperation($0, vcpu: index) } }
    expected += [.setIRQChip, .setIRQChip, .setIRQChip, .setPIT2, .setClock].map { KVMOperation($0) }
    for index in 0..<2 {
      expected += [
        KVMOperation(.setDeviceAttribute, vcpu: index), KVMOperation(.getDeviceAttribute, vcpu: index),
      ]
    }
    return expected
  }

  @Test("with halting vCPUs is stopped, saved and woken by its timer in a second VM")
  func halted() throws {
    let memory = try guestRAM(mebibytes: 16)
    let configuration = MachineConfiguration(
      ramBytes: 16 << 20, vcpuCount: 1, dutyPercent: 50, kvmTestPages: 500)
    let devices = MachineDevices(console: Console())
    let machine = try KVMMachine.loadingGuest(into: memory, configuration, devices: devices)
    try machine.start()
    #expect(try eventually { try machine.report().timerTicks > 3 })
    machine.stop()
    let next = try KVMMachine.awaitingGuest(in: memory, configuration, devices: devices)
    try next.restore(machine.saveState())
    let ticks = try machine.report().timerTicks
    machine.end()
    try next.run()
    #expect(try eventually { try next.report().timerTicks > ticks + 3 })
    next.stop()
    #expect(try next.report().problems == [])
  }

  @Test("writes the disk through the VMM and goes on with the next number after a handoff")
  func disk() throws {
    let path = "/tmp/baton-kvm-disk-test-\(ThisProcess.pid)"
    defer { _ = try? Files.remove(path) }
    let disk = try Disk(path: path)
    let memory = try guestRAM(mebibytes: 16)
    let configuration = MachineConfiguration(
      ramBytes: 16 << 20, vcpuCount: 1, diskIntervalNanoseconds: 2_000_000, kvmTestPages: 500)
    let devices = MachineDevices(console: Console(), disk: disk)
    let machine = try KVMMachine.loadingGuest(into: memory, configuration, devices: devices)
    try machine.start()
    #expect(try eventually { try machine.report().diskSequence > 5 })
    machine.stop()
    let next = try KVMMachine.awaitingGuest(in: memory, configuration, devices: devices)
    try next.restore(machine.saveState())
    let reached = try machine.report().diskSequence
    machine.end()
    try next.run()
    #expect(try eventually { try next.report().diskSequence > reached + 5 })
    next.stop()
    let written = try disk.sequences()
    #expect(written == [UInt64](1...UInt64(written.count)))
    #expect(UInt64(written.count) >= reached + 5)
  }

  @Test("reaches RAM above the hole for devices")
  func highRAM() throws {
    let memory = try guestRAM(mebibytes: 4096)
    let configuration = MachineConfiguration(
      ramBytes: 4096 << 20, vcpuCount: 2, kvmTestPages: 2048)
    let machine = try KVMMachine.loadingGuest(
      into: memory, configuration, devices: MachineDevices(console: Console()))
    try machine.start()
    #expect(try eventually { try machine.report().vcpus.allSatisfy { $0.generation >= 3 } })
    machine.stop()
    let report = try machine.report()
    #expect(report.problems == [])
    #expect(report.pagesChecked >= 2048)
    // The last page of the first pass lies in the upper part, at the offset that the guest was told.
    let stride = memory.load64(at: GuestABI.headerOffset + GuestABI.Header.pageStride)
    let last = GuestABI.firstTestPageOffset + 2047 * Int(stride)
    #expect(last > GuestABI.lowBytes)
    #expect(memory.load64(at: last + GuestABI.TestPage.index) == 2047)
  }

  @Test("refuses state that was cut off, and runs the guest when it gets all of it")
  func truncations() throws {
    let memory = try guestRAM(mebibytes: 16)
    let configuration = MachineConfiguration(ramBytes: 16 << 20, vcpuCount: 1, kvmTestPages: 500)
    let devices = MachineDevices(console: Console())
    let machine = try KVMMachine.loadingGuest(into: memory, configuration, devices: devices)
    try machine.start()
    #expect(try eventually { try machine.report().counter > 10 })
    machine.stop()
    let state = try machine.saveState()
    let next = try KVMMachine.awaitingGuest(in: memory, configuration, devices: devices)
    for length in stride(from: 0, to: state.count, by: 7) {
      #expect(throws: MachineError.self) { try next.restore([UInt8](state.prefix(length))) }
    }
    let software = try SoftwareMachine.awaitingGuest(in: memory, configuration, devices: devices)
    #expect(
      throws: MachineError.state(
        .wrongKind(state: MachineKind.kvm.rawValue, machine: MachineKind.software))
    ) { try software.restore(state) }
    try next.restore(state)
    try next.run()
    let counter = try machine.report().counter
    #expect(try eventually { try next.report().counter > counter + 10 })
    next.stop()
    #expect(try next.report().problems == [])
  }

  @Test("is held inside its output when nobody reads the console, and loses no byte in a handoff")
  func unreadConsole() throws {
    let memory = try guestRAM(mebibytes: 16)
    let configuration = MachineConfiguration(
      ramBytes: 16 << 20, vcpuCount: 1, consoleIntervalNanoseconds: 1, kvmTestPages: 500)
    let pipe = try Pipe()
    let machine = try KVMMachine.loadingGuest(
      into: memory, configuration,
      devices: MachineDevices(console: Console(try pipe.writeEnd.duplicate())))
    try machine.start()
    var counter: UInt64 = 0
    let isHeld = try eventually {
      let before = counter
      pause(milliseconds: 100)
      counter = try machine.report().counter
      return counter == before && counter > 1000
    }
    #expect(isHeld)
    machine.stop()
    let next = try KVMMachine.awaitingGuest(
      in: memory, configuration,
      devices: MachineDevices(console: Console(try pipe.writeEnd.duplicate())))
    try next.restore(machine.saveState())
    try next.run()
    var text: [UInt8] = []
    for line in 0..<(counter + 100) {
      if line == 300 { machine.end() }
      while text.count < GuestABI.consoleLineBytes { text += try pipe.readEnd.read(maximum: 4096) }
      #expect([UInt8](text.prefix(GuestABI.consoleLineBytes)) == GuestABI.consoleLine(line))
      text.removeFirst(GuestABI.consoleLineBytes)
    }
    next.stop()
    #expect(try next.report().problems == [])
  }

  @Test("whose guest cannot go on says so, and can still be stopped")
  func brokenGuest() throws {
    let memory = try guestRAM(mebibytes: 16)
    let configuration = MachineConfiguration(ramBytes: 16 << 20, vcpuCount: 1, kvmTestPages: 500)
    let machine = try KVMMachine.loadingGuest(
      into: memory, configuration, devices: MachineDevices(console: Console()))
    // Without page tables the first instruction is a triple fault.
    memory.store64(0, at: GuestABI.pageTablesOffset)
    try machine.start()
    #expect(eventually { machine.failure != nil })
    let text = try #require(machine.failure).description
    #expect(text.hasPrefix("KVM_RUN on vCPU 0 failed: the guest cannot go on (exit reason "))
    machine.stop()
    #expect(machine.phase == .stopped)
    #expect(try machine.report().counter == 0)
  }
}
