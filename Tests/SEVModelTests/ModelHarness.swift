import SEVABI
import SEVModel

/// Numbers that a test chose, then a counter.
struct ScriptedRandom: RandomSource {
  var script: [UInt64]
  private var counter: UInt64 = 0x1000

  init(_ script: [UInt64] = []) {
    self.script = script
  }

  mutating func word() -> UInt64 {
    guard script.isEmpty else { return script.removeFirst() }
    counter += 1
    return counter
  }
}

/// A caller's memory of a few pages, with faults where a test wants them.
struct FakeMemory: CallerMemory {
  enum Access: Hashable {
    case read, write, pin
  }

  var bytes: [UInt64: UInt8] = [:]
  /// Addresses at which an access that begins there fails.
  var faults: Set<UInt64> = []
  var readOnly: Set<UInt64> = []
  var unpinnable: Set<UInt64> = []
  /// Descriptor numbers that are an open firmware device.
  var firmware: Set<Int32> = [Address.firmware]
  /// Descriptor numbers that are open on a VM.
  var machines: [Int32: VirtualMachineID] = [:]
  /// The pages of a file by their address; any other page is anonymous memory.
  var files: [UInt64: PageIdentity] = [:]
  /// Pages that are not mapped.
  var unmapped: Set<UInt64> = []
  /// What was asked for, in order.
  var log: [String] = []
  /// The number in ``log`` of the one question that is answered with a failure.
  var failingQuestion: Int?

  private var failsNow: Bool { failingQuestion == log.count - 1 }

  mutating func read(address: UInt64, count: Int) -> [UInt8]? {
    log.append("read")
    guard !failsNow, address >= 0x1000, !faults.contains(address) else { return nil }
    return (0..<UInt64(count)).map { bytes[address + $0] ?? 0 }
  }

  mutating func write(address: UInt64, bytes new: [UInt8]) -> Bool {
    log.append("write")
    guard !failsNow, address >= 0x1000, !faults.contains(address), !readOnly.contains(address) else {
      return false
    }
    store(new, at: address)
    return true
  }

  mutating func pin(address: UInt64, count: UInt64, forWriting: Bool) -> Bool {
    log.append(forWriting ? "pin for writing" : "pin for reading")
    return !failsNow && address >= 0x1000 && !unpinnable.contains(address)
  }

  mutating func isFirmware(descriptor: Int32) -> Bool {
    log.append("find firmware")
    return !failsNow && firmware.contains(descriptor)
  }

  mutating func findMachine(descriptor: Int32) -> VirtualMachineID? {
    log.append("find machine")
    return failsNow ? nil : machines[descriptor]
  }

  mutating func identifyPages(address: UInt64, count: UInt64) -> [PageIdentity]? {
    log.append("identify pages")
    guard !failsNow else { return nil }
    let first = address & ~0xFFF
    let pages = stride(from: first, to: address + count, by: 0x1000)
    guard pages.allSatisfy({ !unmapped.contains($0) }) else { return nil }
    return pages.map { files[$0] ?? PageIdentity(inode: .max, offset: $0) }
  }

  mutating func store(_ new: [UInt8], at address: UInt64) {
    for (index, byte) in new.enumerated() { bytes[address + UInt64(index)] = byte }
  }

  func load(_ count: Int, at address: UInt64) -> [UInt8] {
    (0..<UInt64(count)).map { bytes[address + $0] ?? 0 }
  }
}

/// Where the tests put things.
enum Address {
  static let block: UInt64 = 0x10_000
  static let parameters: UInt64 = 0x20_000
  static let guestMemory: UInt64 = 0x100_000
  static let buffer: UInt64 = 0x200_000
  /// A descriptor number, not an address: the open firmware device.
  static let firmware: Int32 = 7
  /// A descriptor number: the VM that a capability is about.
  static let source: Int32 = 20
}

/// How a command ended: its errno, and the command block as it is in memory afterwards.
struct Ending: Equatable {
  var error: KernelError?
  var firmware: FirmwareStatus?

  static let ok = Ending(error: nil, firmware: .success)
  static func failed(_ error: KernelError) -> Ending { Ending(error: error, firmware: .neverCalled) }
  static func refused(_ status: FirmwareStatus) -> Ending {
    Ending(error: .inputOutput, firmware: status)
  }
}

/// A modelled machine with one process that uses it.
struct Bench {
  var host: ModelHost
  var memory = FakeMemory()
  var caller = Caller(addressSpace: AddressSpaceID(rawValue: 1), lockablePages: nil)

  init(_ configuration: ModelConfiguration = ModelConfiguration(), random: [UInt64] = []) {
    host = ModelHost(configuration: configuration, random: ScriptedRandom(random))
  }

  mutating func makeMachine() -> VirtualMachineID {
    host.makeMachine(creator: caller.addressSpace)
  }

  /// Issues a raw id with the parameters as they are in memory.
  mutating func issue(
    rawID: UInt32, _ machine: VirtualMachineID, data: UInt64 = Address.parameters,
    firmware: Int32 = Address.firmware
  ) -> Ending {
    let block = SEVCommandBlock(
      id: rawID, data: data, error: FirmwareStatus.neverCalled.rawValue, firmwareDescriptor: firmware)
    memory.store(block.bytes, at: Address.block)
    let step = host.memoryEncryptOperation(on: machine, argument: Address.block, caller: caller)
    let error = host.run(step, in: &memory)
    let after = SEVCommandBlock(decoding: memory.load(24, at: Address.block).span)
    return Ending(error: error, firmware: FirmwareStatus(rawValue: after.error))
  }

  mutating func issue(
    _ id: SEVCommandID, _ machine: VirtualMachineID, _ parameters: [UInt8] = [],
    data: UInt64 = Address.parameters, firmware: Int32 = Address.firmware
  ) -> Ending {
    memory.store(parameters, at: Address.parameters)
    return issue(rawID: id.rawValue, machine, data: data, firmware: firmware)
  }

  func parameters<Structure: KernelStructure>(as type: Structure.Type) -> Structure {
    Structure(decoding: memory.load(Structure.byteCount, at: Address.parameters).span)
  }

  /// A VM after INIT.
  mutating func makeGuest() -> VirtualMachineID {
    let machine = makeMachine()
    precondition(issue(.initialize, machine).error == nil, "INIT failed")
    return machine
  }

  mutating func start(_ machine: VirtualMachineID, policy: GuestPolicy = []) -> Ending {
    issue(.launchStart, machine, LaunchStartParameters(policy: policy.rawValue).bytes)
  }

  /// A VM that was launched to its end.
  mutating func makeLaunched(policy: GuestPolicy = []) -> VirtualMachineID {
    let machine = makeGuest()
    precondition(start(machine, policy: policy) == .ok, "LAUNCH_START failed")
    precondition(measure(machine) == .ok, "LAUNCH_MEASURE failed")
    precondition(issue(.launchFinish, machine) == .ok, "LAUNCH_FINISH failed")
    return machine
  }

  mutating func measure(_ machine: VirtualMachineID, length: UInt32 = 48) -> Ending {
    issue(.launchMeasure, machine, LaunchMeasureParameters(address: Address.buffer, length: length).bytes)
  }

  mutating func status(_ machine: VirtualMachineID) -> (ending: Ending, status: GuestStatusParameters) {
    let ending = issue(.guestStatus, machine)
    return (ending, parameters(as: GuestStatusParameters.self))
  }

  /// LOCAL_SEND; the token is 0 unless it succeeds.
  mutating func send(_ machine: VirtualMachineID) -> (ending: Ending, token: UInt64) {
    let ending = issue(.localSend, machine, [UInt8](repeating: 0, count: 8))
    return (ending, memory.load(8, at: Address.parameters).span.uint64(at: 0))
  }

  mutating func receive(_ machine: VirtualMachineID, _ token: UInt64) -> Ending {
    issue(.localReceive, machine, Self.receiveBytes(token))
  }

  static func receiveBytes(_ token: UInt64) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: 16)
    var span = bytes.mutableSpan
    span.store(token, at: 0)
    return bytes
  }

  mutating func debug(_ id: SEVCommandID = .debugDecrypt, _ machine: VirtualMachineID, length: UInt32 = 16)
    -> Ending
  {
    issue(
      id, machine,
      DebugParameters(
        sourceAddress: Address.guestMemory, destinationAddress: Address.buffer, length: length
      ).bytes)
  }

  mutating func register(
    _ machine: VirtualMachineID, address: UInt64 = Address.guestMemory, size: UInt64 = 0x1000
  ) -> KernelError? {
    memory.store(EncryptedRegion(address: address, size: size).bytes, at: Address.block)
    return host.run(host.registerRegion(on: machine, argument: Address.block, caller: caller), in: &memory)
  }

  mutating func unregister(
    _ machine: VirtualMachineID, address: UInt64 = Address.guestMemory, size: UInt64 = 0x1000
  ) -> KernelError? {
    memory.store(EncryptedRegion(address: address, size: size).bytes, at: Address.block)
    return host.run(host.unregisterRegion(on: machine, argument: Address.block, caller: caller), in: &memory)
  }
}
