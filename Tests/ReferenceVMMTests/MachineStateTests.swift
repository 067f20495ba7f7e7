import LinuxOS
import ReferenceVMM
import Testing

@Suite("Machine state")
struct MachineStateTests {
  let memory: SharedMapping
  let configuration = MachineConfiguration(ramBytes: 16 << 20, vcpuCount: 2)
  let devices = MachineDevices(console: Console())
  let state: [UInt8]

  init() throws {
    memory = try guestRAM(mebibytes: 16)
    let machine = try SoftwareMachine.loadingGuest(into: memory, configuration, devices: devices)
    try machine.start()
    _ = machine.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000)
    machine.stop()
    state = try machine.saveState()
    machine.end()
  }

  private func successor(vcpus: Int = 2) throws -> SoftwareMachine {
    var configuration = configuration
    configuration.vcpuCount = vcpus
    return try SoftwareMachine.awaitingGuest(in: memory, configuration, devices: devices)
  }

  @Test("of a software machine is smaller than 1 KiB and says format, features, kind and size")
  func selfDescription() throws {
    #expect(state.count < 1024)
    let decoded = try MachineState(decoding: state)
    #expect(decoded.format == MachineStateFormat.current)
    #expect(decoded.features == MachineStateFormat.Feature.softwareVCPUs)
    #expect(decoded.kind == MachineKind.software.rawValue)
    #expect(decoded.ramBytes == 16 << 20)
    #expect(decoded.vcpuCount == 2)
    #expect(decoded.encoded() == state)
  }

  @Test("is refused when it is cut off at any length, and the machine still takes the whole of it")
  func truncations() throws {
    let machine = try successor()
    for length in 0..<state.count {
      #expect(throws: MachineError.self) { try machine.restore([UInt8](state.prefix(length))) }
    }
    #expect(throws: MachineError.state(.trailingBytes(1))) { try machine.restore(state + [0]) }
    #expect(machine.phase == .prepared)
    try machine.restore(state)
    #expect(machine.phase == .restored)
  }

  @Test("with any one byte changed is refused or taken, and never ends the process")
  func changedBytes() throws {
    let machine = try successor()
    for index in state.indices {
      var changed = state
      changed[index] ^= 0xFF
      _ = try? machine.restore(changed)
    }
    try machine.restore(state)
  }

  @Test("of another format is refused by its number")
  func formats() throws {
    let machine = try successor()
    for format: UInt16 in [0, 3, 0xFFFF] {
      var changed = state
      changed[4] = UInt8(truncatingIfNeeded: format)
      changed[5] = UInt8(truncatingIfNeeded: format >> 8)
      #expect(throws: MachineError.state(.unreadableFormat(format))) { try machine.restore(changed) }
    }
  }

  @Test("with a feature that nobody knows is refused by its bit")
  func features() throws {
    var changed = state
    changed[15] = 0x80
    let machine = try successor()
    #expect(throws: MachineError.state(.unknownFeatures(1 << 63))) { try machine.restore(changed) }
  }

  @Test("of the format before is written and read")
  func olderFormat() throws {
    let first = try successor()
    try first.restore(state)
    try first.run()
    _ = first.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000)
    first.stop()
    let older = try first.saveState(format: 1)
    #expect(try MachineState(decoding: older).format == 1)
    let second = try successor()
    try second.restore(older)
    try second.run()
    _ = second.waitForFirstInstruction(timeoutNanoseconds: 10_000_000_000)
    second.stop()
    #expect(try second.report().problems == [])
    #expect(throws: MachineError.state(.unreadableFormat(3))) { try second.saveState(format: 3) }
  }

  @Test("of another number of vCPUs is refused")
  func vcpuCount() throws {
    let machine = try successor(vcpus: 1)
    #expect(throws: MachineError.state(.wrongVCPUCount(state: 2, machine: 1))) {
      try machine.restore(state)
    }
  }

  @Test("of another size of RAM is refused")
  func ramSize() throws {
    var changed = state
    changed[16 + 3] = 2  // 32 MiB in the size at 16..<24
    let machine = try successor()
    #expect(
      throws: MachineError.state(
        .wrongRAMSize(state: 32 << 20, machine: 16 << 20))
    ) { try machine.restore(changed) }
  }

  @Test("of a machine of another kind is refused")
  func kind() throws {
    var changed = state
    changed[6] = MachineKind.kvm.rawValue
    let machine = try successor()
    #expect(
      throws: MachineError.state(
        .wrongKind(state: MachineKind.kvm.rawValue, machine: MachineKind.software))
    ) { try machine.restore(changed) }
  }

  @Test("for RAM without a guest is refused")
  func emptyRAM() throws {
    let empty = try guestRAM(mebibytes: 16)
    let machine = try SoftwareMachine.awaitingGuest(in: empty, configuration, devices: devices)
    #expect(throws: MachineError.noGuestInRAM(found: 0)) { try machine.restore(state) }
  }

  @Test("is readable exactly from the format before on and with known features only")
  func readability() {
    #expect(MachineStateFormat.current == MachineStateFormat.oldest + 1)
    #expect(MachineStateFormat.isReadable(format: 1, features: 0))
    #expect(MachineStateFormat.isReadable(format: 2, features: MachineStateFormat.knownFeatures))
    #expect(!MachineStateFormat.isReadable(format: 0, features: 0))
    #expect(!MachineStateFormat.isReadable(format: 3, features: 0))
    #expect(!MachineStateFormat.isReadable(format: 2, features: 1 << 40))
  }
}
