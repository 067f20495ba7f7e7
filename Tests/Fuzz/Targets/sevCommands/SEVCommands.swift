import FuzzSupport
import SEVABI
import SEVModel

/// Bytes as commands of two processes on up to four VMs of one modelled machine, in any order and with any
/// parameters. The model answers each with success or an errno; it never traps.
@c(LLVMFuzzerTestOneInput)
public func fuzzSEVCommands(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  var source = ByteSource(unsafe copyInput(start, count))
  var host = ModelHost(
    configuration: ModelConfiguration(), random: CountingRandom(), identity: identity)
  var machines: [VirtualMachineID] = []
  var memory = PagedMemory()
  var steps = 0
  while !source.isEmpty, steps < 256 {
    steps += 1
    let caller = Caller(
      addressSpace: AddressSpaceID(rawValue: UInt64(source.below(2))),
      lockablePages: source.below(4) == 0 ? 4 : nil)
    let choice = source.below(32)
    if choice >= 28 && machines.count < 4 || machines.isEmpty {
      machines.append(host.makeMachine(creator: caller.addressSpace))
      continue
    }
    let machine = machines[source.below(machines.count)]
    switch choice {
    case 24:
      host.destroy(machine)
      machines.removeAll { $0 == machine }
    case 25, 26:
      memory.parameters = parameters(&source)
      let step =
        choice == 25
        ? host.registerRegion(on: machine, argument: PagedMemory.parameterAddress, caller: caller)
        : host.unregisterRegion(on: machine, argument: PagedMemory.parameterAddress, caller: caller)
      _ = host.run(step, in: &memory)
    default:
      memory.refusesWrites = source.below(16) == 0
      memory.parameters = parameters(&source)
      // Number 24 and above are commands that nobody knows.
      memory.block =
        SEVCommandBlock(
          id: UInt32(choice), data: source.below(8) == 0 ? 0 : PagedMemory.parameterAddress,
          firmwareDescriptor: source.below(8) == 0 ? -1 : PagedMemory.firmware
        ).bytes
      let step = host.memoryEncryptOperation(
        on: machine, argument: PagedMemory.blockAddress, caller: caller)
      _ = host.run(step, in: &memory)
    }
    precondition(host.machineCount == machines.count, "a VM was made or lost by a command")
  }
  return 0
}

/// Made once: a key agreement costs more than a thousand commands.
private let identity = PlatformIdentity()

/// A command's struct: fields of 64 bits, often an address or a length that makes sense.
private func parameters(_ source: inout ByteSource) -> [UInt8] {
  var bytes: [UInt8] = []
  for _ in 0..<source.below(9) {
    let field: UInt64 =
      switch source.below(6) {
      case 0: 0
      case 1: UInt64(source.below(256)) * 16
      case 2: 0x10_0000 + UInt64(source.below(256)) * 16
      case 3: UInt64(source.byte()) | UInt64(source.byte()) << 32
      case 4: .max - UInt64(source.below(256))
      default: source.word()
      }
    for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: field >> UInt64(8 * shift))) }
  }
  return bytes
}

/// The same numbers in every run, so that a crash can be repeated.
private struct CountingRandom: RandomSource {
  private var counter: UInt64 = 0
  mutating func word() -> UInt64 {
    counter += 1
    return counter % 5 == 0 ? 0 : counter
  }
}

/// A process whose block and parameters are at fixed addresses, and whose other memory reads as a pattern.
private struct PagedMemory: CallerMemory {
  static let blockAddress: UInt64 = 0x1_0000
  static let parameterAddress: UInt64 = 0x2_0000
  static let firmware: Int32 = 7
  var block: [UInt8] = []
  var parameters: [UInt8] = []
  var refusesWrites = false

  func read(address: UInt64, count: Int) -> [UInt8]? {
    switch address {
    case Self.blockAddress: return padded(block, count)
    case Self.parameterAddress: return padded(parameters, count)
    default:
      guard isMapped(address, UInt64(count)) else { return nil }
      return [UInt8](repeating: 0x5A, count: count)
    }
  }

  mutating func write(address: UInt64, bytes: [UInt8]) -> Bool {
    guard !refusesWrites else { return false }
    switch address {
    case Self.blockAddress: block = bytes
    case Self.parameterAddress: parameters = bytes
    default: return isMapped(address, UInt64(bytes.count))
    }
    return true
  }

  func pin(address: UInt64, count: UInt64, forWriting: Bool) -> Bool { isMapped(address, count) }

  func isFirmware(descriptor: Int32) -> Bool { descriptor == Self.firmware }

  /// One mebibyte from 1 MiB on.
  private func isMapped(_ address: UInt64, _ count: UInt64) -> Bool {
    let (end, overflow) = address.addingReportingOverflow(count)
    return !overflow && address >= 0x10_0000 && end <= 0x20_0000
  }

  private func padded(_ bytes: [UInt8], _ count: Int) -> [UInt8] {
    Array((bytes + [UInt8](repeating: 0, count: max(0, count - bytes.count))).prefix(count))
  }
}
