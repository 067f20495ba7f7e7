import GuestImage
import LinuxOS
import ReferenceVMM
import Testing

@Suite("A software machine", .serialized)
struct SoftwareMachineTests {
  let configuration = MachineConfiguration(
    ramBytes: 16 << 20, vcpuCount: 2, consoleIntervalNanoseconds: 1_000_000)

  @Test("hands its guest on ten times: no page wrong, no line missing, no counter back, every page checked")
  func tenHops() throws {
    let memory = try guestRAM(mebibytes: 16)
    let reader = try ConsoleReader()
    let devices = MachineDevices(console: reader.console)
    var machine = try SoftwareMachine.loadingGuest(into: memory, configuration, devices: devices)
    try machine.start()
    var counter: UInt64 = 0
    var passes: [UInt64] = [0, 0]
    for _ in 0..<10 {
      let next = try SoftwareMachine.awaitingGuest(in: memory, configuration, devices: devices)
      // Two passes over all RAM between two handoffs: the second one checks what the first one wrote.
      let isSwept = try eventually {
        let now = try machine.report().vcpus.map(\.generation)
        return now[0] >= passes[0] + 2 && now[1] >= passes[1] + 2
      }
      #expect(isSwept)
      let last = machine.stop()
      let before = try machine.report()
      #expect(before.counter > counter)
      counter = before.counter
      passes = before.vcpus.map(\.generation)
      let ram = memory.read(at: 0, count: memory.byteCount)
      try next.restore(machine.saveState())
      let isUntouched = memory.read(at: 0, count: memory.byteCount) == ram
      #expect(isUntouched, "restoring changed the guest's RAM")
      try next.run()
      let first = try #require(next.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000))
      #expect(first > last)
      let felt = try #require(next.feltPauseNanoseconds)
      #expect(felt >= first - last, "the guest felt less than the blackout")
      machine.end()
      machine = next
    }
    let lines = try machine.report().consoleSequence
    #expect(reader.waitForLines(lines + 1))
    machine.stop()
    let report = try machine.report()
    #expect(report.problems == [])
    #expect(report.pagesChecked >= 10 * report.pageCount)
    #expect(report.pageErrors == 0)
    #expect(report.timerTicks > 0)
    #expect(report.clockSamples > 0 && report.largestClockLagNanoseconds == 0)
    #expect(reader.waitForLines(report.consoleSequence))
    #expect(reader.gaplessLineCount == report.consoleSequence)
  }

  @Test("goes on in place, and after its state went into a fresh machine of the same process")
  func takeBack() throws {
    let memory = try guestRAM(mebibytes: 16)
    let devices = MachineDevices(console: Console())
    let machine = try SoftwareMachine.loadingGuest(into: memory, configuration, devices: devices)
    let takeBack = try SoftwareMachine.awaitingGuest(in: memory, configuration, devices: devices)
    try machine.start()
    #expect(try eventually { try machine.report().counter > 1000 })
    machine.stop()
    let state = try machine.saveState()
    try machine.resume()
    #expect(machine.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000) != nil)
    #expect(try eventually { try machine.report().counter > 3000 })
    machine.stop()
    try takeBack.restore(machine.saveState())
    try takeBack.run()
    #expect(takeBack.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000) != nil)
    takeBack.stop()
    #expect(try takeBack.report().problems == [])

    // An older state of the same guest: RAM has moved on, and the guest notices at once.
    let stale = try SoftwareMachine.awaitingGuest(in: memory, configuration, devices: devices)
    try stale.restore(state)
    try stale.run()
    #expect(stale.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000) != nil)
    #expect(try eventually { try stale.report().vcpus.allSatisfy { $0.mismatches > 0 } })
    stale.stop()
    // Both say so; how many pages they also find wrong depends on how far they came.
    let complaints = try stale.report().problems.filter { $0.contains("registers that did not fit") }
    #expect(complaints.count == 2)
  }

  @Test("finds a page that lost its last write")
  func lostWrite() throws {
    let memory = try guestRAM(mebibytes: 16)
    let machine = try SoftwareMachine.loadingGuest(
      into: memory, configuration, devices: MachineDevices(console: Console()))
    try machine.start()
    #expect(try eventually { try machine.report().vcpus.allSatisfy { $0.generation >= 2 } })
    machine.stop()
    let offset = GuestABI.firstTestPageOffset + 101 * GuestABI.pageBytes
    let old = memory.read(at: offset, count: GuestABI.pageBytes)
    try machine.resume()
    let generation = try machine.report().vcpus.map(\.generation)
    #expect(
      try eventually {
        let now = try machine.report().vcpus.map(\.generation)
        return now[0] >= generation[0] + 2 && now[1] >= generation[1] + 2
      })
    machine.stop()
    #expect(try machine.report().pageErrors == 0)
    memory.write(old, at: offset)
    try machine.resume()
    #expect(try eventually { try machine.report().pageErrors > 0 })
    machine.stop()
    let report = try machine.report()
    #expect(report.pageErrors == 1)
    #expect(report.vcpus[1].firstBadPage == UInt64(offset))
  }

  @Test("holds the guest back and loses no line when nobody reads the console")
  func unreadConsole() throws {
    let memory = try guestRAM(mebibytes: 16)
    let pipe = try Pipe()
    let devices = MachineDevices(console: Console(try pipe.writeEnd.duplicate()))
    var configuration = configuration
    configuration.consoleIntervalNanoseconds = 1
    let machine = try SoftwareMachine.loadingGuest(into: memory, configuration, devices: devices)
    try machine.start()
    // The pipe holds 64 KiB; then one line waits and the sequence stands still.
    let isFull = try eventually {
      machine.stop()
      let features = try MachineState(decoding: try machine.saveState()).features
      if features & MachineStateFormat.Feature.pendingConsole != 0 { return true }
      try machine.resume()
      pause(milliseconds: 5)
      return false
    }
    #expect(isFull)
    let sequence = try machine.report().consoleSequence
    #expect(sequence > 1000)
    #expect(throws: MachineError.self, "format 1 has no place for the line that waits") {
      try machine.saveState(format: 1)
    }
    let state = try machine.saveState()
    #expect(
      try MachineState(decoding: state).features & MachineStateFormat.Feature.pendingConsole != 0)

    let successor = MachineDevices(console: Console(try pipe.writeEnd.duplicate()))
    let next = try SoftwareMachine.awaitingGuest(in: memory, configuration, devices: successor)
    try next.restore(state)
    try next.run()
    var text: [UInt8] = []
    for line in 0..<(sequence + 100) {
      // There is room now; the source ends and must not say what it has handed over.
      if line == 300 { machine.end() }
      while text.count < GuestABI.consoleLineBytes { text += try pipe.readEnd.read(maximum: 4096) }
      #expect([UInt8](text.prefix(GuestABI.consoleLineBytes)) == GuestABI.consoleLine(line))
      text.removeFirst(GuestABI.consoleLineBytes)
    }
    next.stop()
    #expect(try next.report().problems == [])
  }

  @Test("works on the disk under a lock that travels, and misses no sequence number")
  func disk() throws {
    let path = "/tmp/baton-disk-test-\(ThisProcess.pid)"
    defer { _ = try? Files.remove(path) }
    let disk = try Disk(path: path)
    #expect(throws: SystemError.self, "a second open file gets the lock") { try Disk(path: path) }
    let memory = try guestRAM(mebibytes: 16)
    var configuration = configuration
    configuration.diskIntervalNanoseconds = 1_000_000
    let machine = try SoftwareMachine.loadingGuest(
      into: memory, configuration, devices: MachineDevices(console: Console(), disk: disk))
    try machine.start()
    #expect(try eventually { try machine.report().diskSequence > 5 })
    machine.stop()
    let state = try machine.saveState()
    let diskless = try SoftwareMachine.awaitingGuest(
      in: memory, configuration, devices: MachineDevices(console: Console()))
    #expect(throws: MachineError.state(.missingDisk)) { try diskless.restore(state) }
    let passedOn = try Disk(adopting: disk.duplicateDescriptor())
    let next = try SoftwareMachine.awaitingGuest(
      in: memory, configuration, devices: MachineDevices(console: Console(), disk: passedOn))
    try next.restore(state)
    machine.end()
    try next.run()
    let reached = try machine.report().diskSequence + 5
    #expect(try eventually { try next.report().diskSequence > reached })
    next.stop()
    let report = try next.report()
    #expect(report.problems == [])
    #expect(try passedOn.sequences() == [UInt64](1..<report.diskSequence))
  }

  @Test("refuses calls that do not fit what it is doing")
  func phases() throws {
    let memory = try guestRAM(mebibytes: 16)
    let devices = MachineDevices(console: Console())
    let machine = try SoftwareMachine.loadingGuest(into: memory, configuration, devices: devices)
    #expect(throws: MachineError.wrongPhase(attempted: "resume", phase: .loaded)) {
      try machine.resume()
    }
    #expect(throws: MachineError.wrongPhase(attempted: "save its state", phase: .loaded)) {
      try machine.saveState()
    }
    try machine.start()
    #expect(throws: MachineError.wrongPhase(attempted: "start", phase: .running)) {
      try machine.start()
    }
    #expect(throws: MachineError.wrongPhase(attempted: "take a guest's state", phase: .running)) {
      try machine.restore([])
    }
    let stopped = machine.stop()
    #expect(machine.stop() == stopped)
    machine.end()
    #expect(throws: MachineError.wrongPhase(attempted: "resume", phase: .ended)) {
      try machine.resume()
    }
  }

  @Test("may be stopped again before its threads have woken up")
  func quickStops() throws {
    let memory = try guestRAM(mebibytes: 16)
    let machine = try SoftwareMachine.loadingGuest(
      into: memory, configuration, devices: MachineDevices(console: Console()))
    try machine.start()
    for _ in 0..<2000 {
      machine.stop()
      let counter = try machine.report().counter
      let again = try machine.report().counter
      #expect(counter == again, "a vCPU ran after stop returned")
      try machine.resume()
    }
    machine.stop()
    #expect(try machine.report().problems == [])
  }

  @Test("that is paced works as much as it is told, and still at once after a handoff")
  func pacing() throws {
    let memory = try guestRAM(mebibytes: 16)
    var configuration = configuration
    configuration.dutyPercent = 1
    let devices = MachineDevices(console: Console())
    let machine = try SoftwareMachine.loadingGuest(into: memory, configuration, devices: devices)
    try machine.start()
    #expect(try eventually { try machine.report().counter > 100 })
    machine.stop()
    let next = try SoftwareMachine.awaitingGuest(in: memory, configuration, devices: devices)
    try next.restore(machine.saveState())
    try next.run()
    #expect(next.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000) != nil)
    next.stop()
    #expect(try next.report().problems == [])
  }

  @Test("does not touch RAM that the guest has not reached")
  func lazyRAM() throws {
    let memory = try guestRAM(mebibytes: 64 << 10)
    var configuration = configuration
    configuration.ramBytes = 16 << 30
    let machine = try SoftwareMachine.loadingGuest(
      into: memory, configuration, devices: MachineDevices(console: Console()))
    try machine.start()
    #expect(try eventually { try machine.report().counter > 1000 })
    machine.stop()
    let report = try machine.report()
    #expect(report.pageCount == UInt64((16 << 30) - GuestABI.firstTestPageOffset) / 4096)
    #expect(report.problems == [])
  }

  @Test(
    "refuses a configuration that breaks a limit",
    arguments: [
      (ram: 15 << 20, vcpus: 1, duty: 100), (ram: (16 << 20) + 4096, vcpus: 1, duty: 100),
      (ram: 16 << 20, vcpus: 0, duty: 100), (ram: 16 << 20, vcpus: 33, duty: 100),
      (ram: 16 << 20, vcpus: 1, duty: 0), (ram: 16 << 20, vcpus: 1, duty: 101),
      (ram: 32 << 20, vcpus: 1, duty: 100),
    ])
  func limits(ram: Int, vcpus: Int, duty: Int) throws {
    let memory = try guestRAM(mebibytes: 16)
    let configuration = MachineConfiguration(ramBytes: ram, vcpuCount: vcpus, dutyPercent: duty)
    #expect(throws: MachineError.self) {
      try SoftwareMachine.loadingGuest(
        into: memory, configuration, devices: MachineDevices(console: Console()))
    }
  }
}
