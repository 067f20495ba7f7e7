import FuzzSupport
import SEVABI
import SEVFuzzSupport
import SEVModel

/// Bytes as requests of two processes on up to five VMs of one modelled machine, in any order, with any
/// parameters, interleaved as the kernel may interleave them, on any profile. The model answers each with success
/// or an errno and never traps; and when all VMs are gone, so are all guests, and every ASID is free.
@c(LLVMFuzzerTestOneInput)
public func fuzzSEVCommands(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  var world = World(ByteSource(input))
  for _ in 0..<256 {
    guard !world.source.isEmpty else { break }
    world.step()
  }
  world.end()
  return 0
}

/// Made once: a key costs more than a thousand commands.
private let identity = PlatformIdentity()

private struct World {
  /// A request that has not finished, and the VMs that it holds a descriptor of.
  struct Pending {
    var machines: [VirtualMachineID]
    var step: Step
    let caller: Caller
  }

  static let asidCount: UInt32 = 4
  static let encryptedStateASIDCount: UInt32 = 3

  var source: ByteSource
  var host: ModelHost
  var memory = PagedMemory()
  var machines: [VirtualMachineID] = []
  var vcpus: [(id: VirtualCPUID, machine: VirtualMachineID)] = []
  var pending: [Pending] = []
  var nextDescriptor: Int32 = 100

  init(_ bytes: ByteSource) {
    source = bytes
    let profiles = KernelProfile.allCases
    let kind = source.byte()
    host = ModelHost(
      configuration: ModelConfiguration(
        profile: profiles[Int(kind) % profiles.count], asidCount: Self.asidCount,
        encryptedStateASIDCount: Self.encryptedStateASIDCount, firmwareVMSA: kind & 0x40 != 0,
        ciphertext: kind & 0x80 != 0),
      random: CountingRandom(), identity: identity)
  }

  mutating func caller() -> Caller {
    let choice = source.byte()
    return Caller(
      addressSpace: AddressSpaceID(rawValue: UInt64(choice & 0x0F == 0 ? 2 : 1)),
      lockablePages: choice & 0x30 == 0 ? 4 : nil)
  }

  mutating func step() {
    let choice = source.below(44)
    let caller = caller()
    guard choice < 40, !machines.isEmpty else {
      if choice < 42 { make(caller) } else { advance() }
      return
    }
    let machine = machines[source.below(machines.count)]
    switch choice {
    case 0..<25: command(UInt32(choice), machine, caller)
    case 25: command(UInt32(source.byte()), machine, caller)
    case 26: destroy(machine)
    case 27:
      guard let vcpu = try? host.makeVCPU(number: UInt32(source.byte()), on: machine, caller: caller) else {
        return
      }
      vcpus.append((vcpu, machine))
    case 28, 29: region(machine, caller, registers: choice == 28)
    case 30, 31: capability(machine, caller)
    case 32, 33: sharedPages(machine, caller, gets: choice == 32)
    case 34: device(caller)
    case 35: guestAccess(machine, caller)
    case 36, 37: vcpuState(caller)
    default: advance()
    }
  }

  mutating func make(_ caller: Caller) {
    guard machines.count < 5,
      let machine = try? host.makeMachine(
        type: UInt64(source.below(6)), creator: caller.addressSpace)
    else { return }
    machines.append(machine)
    memory.machines[nextDescriptor] = machine
    nextDescriptor += 1
  }

  mutating func destroy(_ machine: VirtualMachineID) {
    // A request holds the descriptor that it was made on.
    guard !isBusy(machine) else { return }
    machines.removeAll { $0 == machine }
    vcpus.removeAll { $0.machine == machine }
    for (number, other) in memory.machines where other == machine { memory.machines[number] = nil }
    host.destroy(machine)
  }

  func isBusy(_ machine: VirtualMachineID) -> Bool { pending.contains { $0.machines.contains(machine) } }

  // MARK: Requests

  mutating func command(_ id: UInt32, _ machine: VirtualMachineID, _ caller: Caller) {
    memory.store(parameters(), at: PagedMemory.structure)
    memory.store(
      SEVCommandBlock(
        id: id, data: source.below(8) == 7 ? 0 : PagedMemory.structure,
        firmwareDescriptor: source.below(8) == 7 ? -1 : PagedMemory.firmware
      ).bytes, at: PagedMemory.block)
    begin(
      host.memoryEncryptOperation(on: machine, argument: PagedMemory.block, caller: caller), machine, caller)
  }

  mutating func region(_ machine: VirtualMachineID, _ caller: Caller, registers: Bool) {
    memory.store(parameters(), at: PagedMemory.structure)
    let argument = PagedMemory.structure
    begin(
      registers
        ? host.registerRegion(on: machine, argument: argument, caller: caller)
        : host.unregisterRegion(on: machine, argument: argument, caller: caller), machine, caller)
  }

  mutating func sharedPages(_ machine: VirtualMachineID, _ caller: Caller, gets: Bool) {
    memory.store(parameters(), at: PagedMemory.structure)
    let argument = PagedMemory.structure
    begin(
      gets
        ? host.getSharedPages(on: machine, argument: argument, caller: caller)
        : host.setSharedPages(on: machine, argument: argument, caller: caller), machine, caller)
  }

  /// The one request that does not wait for the VM's others.
  mutating func capability(_ machine: VirtualMachineID, _ caller: Caller) {
    let numbers: [UInt32] = [206, 197, 206, 201, 188, 9]
    let number = numbers[source.below(6)]
    let argument =
      number == 206 || number == 197 ? UInt64(100 + source.below(16)) : UInt64(source.byte()) << 9
    memory.store(
      EnableCapability(capability: number, flags: source.below(16) == 15 ? 1 : 0, argument: argument).bytes,
      at: PagedMemory.structure)
    let step = host.enableCapability(on: machine, argument: PagedMemory.structure, caller: caller)
    pending.append(Pending(machines: [machine], step: step, caller: caller))
    if source.flag() { advance(pending.count - 1, finishing: true) }
  }

  mutating func device(_ caller: Caller) {
    memory.store(parameters(), at: PagedMemory.structure)
    memory.store(
      DeviceCommandBlock(id: UInt32(source.below(10)), data: PagedMemory.structure).bytes,
      at: PagedMemory.block)
    pending.append(
      Pending(
        machines: [],
        step: host.issueDeviceCommand(argument: PagedMemory.block, isWritable: source.below(4) != 3),
        caller: caller))
    advance(pending.count - 1, finishing: true)
  }

  mutating func guestAccess(_ machine: VirtualMachineID, _ caller: Caller) {
    let bytes = source.take(16 * source.below(4))
    let whole = bytes + [UInt8](repeating: 0, count: (16 - bytes.count % 16) % 16)
    _ = try? host.guestAccess(
      source.flag() ? .read : .write, on: machine,
      page: PageIdentity(inode: 1, offset: UInt64(source.byte()) * 4096), offset: 16 * source.below(128),
      bytes: whole, caller: caller)
  }

  mutating func vcpuState(_ caller: Caller) {
    guard !vcpus.isEmpty else { return }
    let vcpu = vcpus[source.below(vcpus.count)]
    switch source.below(4) {
    case 0:
      _ = try? host.hypercall(
        UInt64(source.below(16)), [field(), field(), field()], privilege: source.flag() ? 3 : 0,
        on: vcpu.id, caller: caller)
    case 1: _ = try? host.checkRun(vcpu.id, caller: caller)
    case 2:
      let bytes = source.take(72)
      try? host.setVCPUState(
        .guestDebug, of: vcpu.id, to: bytes + [UInt8](repeating: 0, count: 72 - bytes.count), caller: caller)
    default: _ = try? host.vcpuState(.registers, of: vcpu.id, caller: caller)
    }
  }

  // MARK: Answering

  mutating func begin(_ step: Step, _ machine: VirtualMachineID, _ caller: Caller) {
    // The kernel serialises all of a VM's requests but the capabilities.
    guard !isBusy(machine) else { return }
    pending.append(Pending(machines: [machine], step: step, caller: caller))
    // Most finish at once; the others wait for their next answer.
    if source.below(4) != 3 { advance(pending.count - 1, finishing: true) }
  }

  mutating func advance() {
    guard !pending.isEmpty else { return }
    advance(source.below(pending.count), finishing: source.flag())
  }

  /// Answers the next question of a request, or all of them.
  mutating func advance(_ number: Int, finishing: Bool) {
    repeat {
      var request = pending[number]
      switch request.step {
      case .finished(_, let undo):
        pending.remove(at: number)
        if let undo, source.below(8) == 7 { host.undo(undo) }
        return
      case .lock(let wanted, let then):
        let isFree = !pending.indices.contains { other in
          other != number && pending[other].machines.contains { wanted.contains($0) }
        }
        guard isFree else { return }
        request.step = then(&host)
      case .resume(let then): request.step = then(&host)
      case .read(let address, let count, let then):
        request.step = then(&host, memory.read(address: address, count: count))
      case .write(let address, let bytes, let then):
        memory.refusesWrites = source.below(16) == 15
        let written = memory.write(address: address, bytes: bytes)
        memory.refusesWrites = false
        request.step = then(&host, written)
      case .pin(let address, let count, let forWriting, let then):
        request.step = then(
          &host, memory.pin(address: address, count: count, forWriting: forWriting))
      case .findFirmware(let descriptor, let then):
        request.step = then(&host, memory.isFirmware(descriptor: descriptor))
      case .findMachine(let descriptor, let then):
        let found = memory.findMachine(descriptor: descriptor)
        if let found { request.machines.append(found) }
        request.step = then(&host, found)
      case .identifyPages(let address, let count, let then):
        request.step = then(&host, memory.identifyPages(address: address, count: count))
      }
      pending[number] = request
    } while finishing
  }

  /// All requests finish, all VMs go, and nothing is left.
  mutating func end() {
    while !pending.isEmpty {
      let before = pending.count
      for number in pending.indices.reversed() { advance(number, finishing: true) }
      precondition(pending.count < before, "requests wait for each other for ever")
    }
    for machine in machines.reversed() { destroy(machine) }
    precondition(host.machineCount == 0, "\(host.machineCount) VMs are left")
    precondition(host.guestCount == 0, "\(host.guestCount) guests are left")
    precondition(host.freeASIDCount == Int(Self.asidCount), "an ASID is lost")
    precondition(
      host.freeEncryptedStateASIDCount == Int(Self.encryptedStateASIDCount), "an ASID of SEV-ES is lost")
  }

  /// A command's struct: fields of 64 bits, often an address or a length that makes sense.
  mutating func parameters() -> [UInt8] {
    var bytes: [UInt8] = []
    for _ in 0..<source.below(10) {
      let field = field()
      for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: field >> UInt64(8 * shift))) }
    }
    return bytes + [UInt8](repeating: 0, count: 80 - bytes.count)
  }

  mutating func field() -> UInt64 {
    switch source.below(7) {
    case 0: 0
    case 1: UInt64(source.below(256)) * 16
    case 2: PagedMemory.start + 0x2000 + UInt64(source.below(256)) * 16
    case 3: UInt64(source.byte()) | UInt64(source.byte()) << 32
    case 4: .max - UInt64(source.below(256))
    case 5: UInt64(source.below(4))
    default: source.word()
    }
  }
}
