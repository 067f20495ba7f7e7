import KVM
import LinuxOS

/// A VM with one vCPU in 64-bit mode that executes a few bytes of code.
struct TinyGuest {
  static let byteCount = 4 << 20
  /// Where the code is; what is below are tables.
  static let entry = 0x4_0000

  let memory: SharedMapping
  let vm: KVMVirtualMachine

  init(code: [UInt8], guestFeatures: UInt32 = 0) throws {
    let memfd = try Memfd.create(name: "tiny-guest", byteCount: UInt64(Self.byteCount))
    memory = try SharedMapping(memfd, byteCount: Self.byteCount)
    vm = try KVMVirtualMachine(
      KVMSystem(), vcpuCount: 1,
      memory: [
        KVMVirtualMachine.MemorySlot(
          guestAddress: 0, byteCount: UInt64(Self.byteCount), hostAddress: memory.address)
      ], guestFeatures: guestFeatures)
    // Two pages of 2 MiB, mapped to themselves. Accessed and dirty are set already, so that no walk of the tables
    // writes into them.
    memory.store64(0x9000 | 0x23, at: 0x8000)
    memory.store64(0xA000 | 0x23, at: 0x9000)
    for page in 0..<2 { memory.store64(UInt64(page) << 21 | 0xE3, at: 0xA000 + 8 * page) }
    for start in stride(from: 0, to: code.count, by: 8) {
      var value: UInt64 = 0
      for byte in code[start..<min(start + 8, code.count)].reversed() { value = value << 8 | UInt64(byte) }
      memory.store64(value, at: Self.entry + start)
    }
    try vm.vcpus[0].prepareLongMode(
      entry: UInt64(Self.entry), stack: 0x3F000, firstArgument: 0, pageTables: 0x8000,
      descriptorTable: (0x5000, 23), interruptTable: (0x6000, 4095))
  }

  /// Runs up to the next exit that means something.
  func run() throws -> KVMExit {
    while true {
      let exit = try vm.vcpus[0].run()
      if exit != .interrupted { return exit }
    }
  }
}

/// Instructions, as bytes.
enum Code {
  /// Writes a byte into memory.
  static func touch(_ address: UInt32) -> [UInt8] { [0xC6, 0x04, 0x25] + little(address) + [1] }
  static func setA(_ value: UInt32) -> [UInt8] { [0xB8] + little(value) }
  static func setC(_ value: UInt32) -> [UInt8] { [0xB9] + little(value) }
  static let clearD: [UInt8] = [0x31, 0xD2]
  static let writeMSR: [UInt8] = [0x0F, 0x30]
  static let readMSR: [UInt8] = [0x0F, 0x32]
  static let cpuid: [UInt8] = [0x0F, 0xA2]
  /// Gives EAX to port 0x10: the VMM is told.
  static let tell: [UInt8] = [0xE7, 0x10]

  private static func little(_ value: UInt32) -> [UInt8] {
    (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(8 * $0)) }
  }
}

extension KVMExit {
  /// The number that ``Code/tell`` gave; nothing for any other exit.
  var told: UInt32? {
    guard case .output(port: 0x10, let bytes) = self, bytes.count == 4 else { return nil }
    return bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }
  }
}
