public import SEVModel

/// A process with one mebibyte of memory from 1 MiB on, all of it readable and writable, unless writes are
/// refused for once.
public struct PagedMemory: CallerMemory, Sendable {
  public static let start: UInt64 = 0x10_0000
  public static let block: UInt64 = start
  public static let structure: UInt64 = start + 0x1000
  public static let byteCount = 0x10_0000
  public static let firmware: Int32 = 7

  private var bytes = [UInt8](repeating: 0x5A, count: byteCount)
  public var refusesWrites = false
  /// Descriptor numbers that are VMs.
  public var machines: [Int32: VirtualMachineID] = [:]

  public init() {}

  private func range(_ address: UInt64, _ count: UInt64) -> Range<Int>? {
    let (end, overflow) = address.addingReportingOverflow(count)
    guard !overflow, address >= Self.start, end <= Self.start + UInt64(Self.byteCount) else { return nil }
    return Int(address - Self.start)..<Int(end - Self.start)
  }

  public mutating func read(address: UInt64, count: Int) -> [UInt8]? {
    range(address, UInt64(count)).map { Array(bytes[$0]) }
  }

  public mutating func write(address: UInt64, bytes new: [UInt8]) -> Bool {
    guard !refusesWrites, let range = range(address, UInt64(new.count)) else { return false }
    bytes.replaceSubrange(range, with: new)
    return true
  }

  /// Puts bytes there whatever is refused; they must fit.
  public mutating func store(_ new: [UInt8], at address: UInt64) {
    guard let range = range(address, UInt64(new.count)) else { preconditionFailure("no memory there") }
    bytes.replaceSubrange(range, with: new)
  }

  public func load(_ count: Int, at address: UInt64) -> [UInt8] {
    guard let range = range(address, UInt64(count)) else { preconditionFailure("no memory there") }
    return Array(bytes[range])
  }

  public mutating func pin(address: UInt64, count: UInt64, forWriting: Bool) -> Bool {
    range(address, count) != nil
  }

  public mutating func isFirmware(descriptor: Int32) -> Bool { descriptor == Self.firmware }

  public mutating func findMachine(descriptor: Int32) -> VirtualMachineID? { machines[descriptor] }

  public mutating func identifyPages(address: UInt64, count: UInt64) -> [PageIdentity]? {
    guard count > 0, range(address, count) != nil else { return nil }
    return (address / 4096...(address + count - 1) / 4096).map { PageIdentity(inode: 1, offset: $0 * 4096) }
  }
}

/// The same numbers in every run, so that a crash can be repeated. Some are 0, which a token must not be.
public struct CountingRandom: RandomSource {
  private var counter: UInt64 = 0

  public init() {}

  public mutating func word() -> UInt64 {
    counter += 1
    return counter % 5 == 0 ? 0 : counter
  }
}
