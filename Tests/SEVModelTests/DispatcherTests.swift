import SEVABI
import SEVModel
import Testing

@Suite("KVM_MEMORY_ENCRYPT_OP")
struct DispatcherTests {
  @Test("checks the address space, then SEV, then NULL, then the argument's memory")
  func order() {
    // Each bench fails a check and, where it can, all those behind it.
    var foreign = Bench(ModelConfiguration(isEnabled: false))
    let machine = foreign.makeMachine()
    foreign.caller.addressSpace = AddressSpaceID(rawValue: 2)
    #expect(
      foreign.host.run(
        foreign.host.memoryEncryptOperation(on: machine, argument: 0, caller: foreign.caller),
        in: &foreign.memory) == .inputOutput)

    foreign.caller.addressSpace = AddressSpaceID(rawValue: 1)
    #expect(
      foreign.host.run(
        foreign.host.memoryEncryptOperation(on: machine, argument: 0, caller: foreign.caller),
        in: &foreign.memory) == .notSupported)

    var bench = Bench()
    let other = bench.makeMachine()
    #expect(
      bench.host.run(
        bench.host.memoryEncryptOperation(on: other, argument: 0, caller: bench.caller), in: &bench.memory)
        == nil)
    #expect(
      bench.host.run(
        bench.host.memoryEncryptOperation(on: other, argument: 8, caller: bench.caller), in: &bench.memory)
        == .badAddress)
  }

  @Test("refuses another address space for every command and for regions", arguments: 0..<26)
  func foreignAddressSpace(id: Int) {
    var bench = Bench()
    let machine = bench.makeLaunched()
    bench.caller.addressSpace = AddressSpaceID(rawValue: 2)
    let asked = bench.memory.log.count
    #expect(bench.issue(rawID: UInt32(id), machine) == .failed(.inputOutput))
    #expect(bench.register(machine) == .inputOutput)
    #expect(bench.unregister(machine) == .inputOutput)
    #expect(bench.memory.log.count == asked)
  }

  @Test(
    "answers an unknown or unimplemented id with EINVAL and writes nothing back",
    arguments: [10, 14, 19, 24, 25, 99, 100, 0xFFFF_FFFF])
  func unknownID(id: UInt32) {
    for isGuest in [false, true] {
      var bench = Bench()
      let machine = isGuest ? bench.makeGuest() : bench.makeMachine()
      bench.memory.readOnly = [Address.block]
      #expect(bench.issue(rawID: id, machine) == .failed(.invalidArgument))
    }
  }

  @Test("writes the block back after success and after failure, and a failed write is EFAULT")
  func writeBack() {
    var bench = Bench()
    let machine = bench.makeMachine()
    bench.memory.readOnly = [Address.block]
    #expect(bench.issue(.initialize, machine).error == .badAddress)
    // INIT was done although the answer was lost.
    #expect(bench.issue(.initialize, machine).error == .badAddress)
    bench.memory.readOnly = []
    #expect(bench.issue(.initialize, machine) == .failed(.busy))
    bench.memory.readOnly = [Address.block]
    #expect(bench.issue(.launchFinish, bench.makeMachine()).error == .badAddress)
  }

  @Test("keeps the caller's error field where the firmware was not called")
  func errorFieldUntouched() {
    var bench = Bench()
    let machine = bench.makeMachine()
    #expect(bench.issue(.initialize, machine) == Ending(error: nil, firmware: .neverCalled))
    #expect(bench.issue(.launchStart, machine, data: 0) == .failed(.badAddress))
  }

  @Test(
    "refuses commands on a VM that is no guest with ENOTTY",
    arguments: [
      SEVCommandID.launchStart, .launchUpdateData, .launchUpdateVMSA, .launchMeasure, .launchFinish,
      .guestStatus,
      .debugDecrypt, .debugEncrypt, .localSend, .localReceive,
    ])
  func plainMachine(id: SEVCommandID) {
    var bench = Bench()
    let machine = bench.makeMachine()
    // Before the parameters are looked at.
    #expect(bench.issue(id, machine, data: 0) == .failed(.notSupported))
  }

  @Test(
    "refuses unreadable parameters with EFAULT before anything else about them",
    arguments: [
      SEVCommandID.launchStart, .launchUpdateData, .launchMeasure, .debugDecrypt, .debugEncrypt, .localSend,
      .localReceive,
    ])
  func unreadableParameters(id: SEVCommandID) {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.issue(id, machine, data: 0) == .failed(.badAddress))
  }

  @Test(
    "looks the firmware device up in the caller's table and answers EBADF if it is not there",
    arguments: [
      SEVCommandID.launchUpdateData, .launchMeasure, .launchFinish, .guestStatus, .debugDecrypt,
      .debugEncrypt,
    ])
  func missingFirmware(id: SEVCommandID) {
    var bench = Bench()
    let machine = bench.makeGuest()
    #expect(bench.start(machine) == .ok)
    bench.memory.firmware = []
    let parameters: [UInt8] =
      switch id {
      case .launchUpdateData: LaunchUpdateDataParameters(address: Address.guestMemory, length: 16).bytes
      case .launchMeasure: LaunchMeasureParameters(address: Address.buffer, length: 48).bytes
      default:
        DebugParameters(
          sourceAddress: Address.guestMemory, destinationAddress: Address.buffer, length: 16
        ).bytes
      }
    #expect(bench.issue(id, machine, parameters) == .failed(.badDescriptor))
  }
}

@Suite("INIT")
struct InitializeTests {
  @Test("takes one ASID a guest and is busy when none is left")
  func asidsRunOut() {
    var bench = Bench(ModelConfiguration(asidCount: 2))
    let first = bench.makeGuest()
    _ = bench.makeGuest()
    let third = bench.makeMachine()
    #expect(bench.issue(.initialize, third) == .failed(.busy))
    bench.host.destroy(first)
    #expect(bench.issue(.initialize, third).error == nil)
  }

  @Test("makes freed ASIDs usable again by a flush, many times over")
  func recycling() {
    var bench = Bench(ModelConfiguration(asidCount: 3))
    for _ in 0..<20 {
      let machine = bench.makeLaunched()
      #expect(bench.status(machine).status.state == GuestState.running.rawValue)
      bench.host.destroy(machine)
      #expect(bench.host.freeASIDCount == 3)
    }
  }

  @Test("is busy on a VM that is a guest already")
  func twice() {
    var bench = Bench()
    #expect(bench.issue(.initialize, bench.makeGuest()) == .failed(.busy))
  }

  @Test("of a guest with encrypted state is ENOTTY unless ASIDs are set aside for it")
  func encryptedState() {
    var without = Bench()
    #expect(without.issue(.esInitialize, without.makeMachine()) == .failed(.notSupported))
    // ENOTTY comes before EBUSY.
    #expect(without.issue(.esInitialize, without.makeGuest()) == .failed(.notSupported))
    var with = Bench(ModelConfiguration(asidCount: 1, encryptedStateASIDCount: 1))
    #expect(with.issue(.esInitialize, with.makeMachine()).error == nil)
    #expect(with.issue(.esInitialize, with.makeMachine()) == .failed(.busy))
    #expect(with.issue(.initialize, with.makeMachine()).error == nil)
  }
}
