import SEVABI
import SEVModel

/// A process's memory as pages with permissions, the way mmap, mprotect and munmap leave it.
///
/// A copy out that runs into a page it may not write has written what lies before, as `copy_to_user` has.
struct BadAddressMemory: CallerMemory {
  enum Permission: Hashable {
    case readOnly, readWrite
  }

  static let pageByteCount: UInt64 = 4096

  private struct Page {
    var permission: Permission
    var bytes: [UInt8]
  }

  private var pages: [UInt64: Page] = [:]
  /// Descriptor numbers that are an open firmware device.
  var firmware: Set<Int32> = [Address.firmware]
  /// Descriptor numbers that are VMs.
  var machines: [Int32: VirtualMachineID] = [:]

  // MARK: What the process does to its memory

  /// Maps whole pages, zeroed, unless they are mapped already.
  mutating func map(_ address: UInt64, count: UInt64, _ permission: Permission = .readWrite) {
    for number in address / Self.pageByteCount...(address + count - 1) / Self.pageByteCount
    where pages[number] == nil {
      pages[number] = Page(
        permission: permission, bytes: [UInt8](repeating: 0, count: Int(Self.pageByteCount)))
    }
  }

  /// Changes the permission of the mapped pages of a range.
  mutating func protect(_ address: UInt64, count: UInt64, _ permission: Permission) {
    for number in address / Self.pageByteCount...(address + count - 1) / Self.pageByteCount {
      pages[number]?.permission = permission
    }
  }

  mutating func unmap(_ address: UInt64, count: UInt64) {
    for number in address / Self.pageByteCount...(address + count - 1) / Self.pageByteCount {
      pages[number] = nil
    }
  }

  /// Writes whatever the permissions say, where a page is mapped.
  mutating func store(_ new: [UInt8], at address: UInt64) {
    eachPiece(address: address, count: new.count) { pages, number, range, offset in
      pages[number]?.bytes.replaceSubrange(range, with: new[offset..<(offset + range.count)])
      return true
    }
  }

  /// What is there; zero where nothing is mapped.
  func load(_ count: Int, at address: UInt64) -> [UInt8] {
    var copy = self
    var bytes: [UInt8] = []
    copy.eachPiece(address: address, count: count) { pages, number, range, _ in
      bytes += pages[number].map { Array($0.bytes[range]) } ?? [UInt8](repeating: 0, count: range.count)
      return true
    }
    return bytes
  }

  func load32(at address: UInt64) -> UInt32 { load(4, at: address).span.uint32(at: 0) }
  func load64(at address: UInt64) -> UInt64 { load(8, at: address).span.uint64(at: 0) }

  /// Visits a range page by page until `body` says false or an address would not be one.
  ///
  /// - Returns: Whether the whole range was visited.
  @discardableResult
  private mutating func eachPiece(
    address: UInt64, count: Int,
    _ body: (inout [UInt64: Page], _ number: UInt64, _ range: Range<Int>, _ offset: Int) -> Bool
  ) -> Bool {
    guard !address.addingReportingOverflow(UInt64(count)).overflow else { return false }
    var offset = 0
    while offset < count {
      let position = address + UInt64(offset)
      let start = Int(position % Self.pageByteCount)
      let end = min(Int(Self.pageByteCount), start + count - offset)
      guard body(&pages, position / Self.pageByteCount, start..<end, offset) else { return false }
      offset += end - start
    }
    return true
  }

  // MARK: What the kernel does to it

  mutating func read(address: UInt64, count: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    let isWhole = eachPiece(address: address, count: count) { pages, number, range, _ in
      guard let page = pages[number] else { return false }
      bytes += page.bytes[range]
      return true
    }
    return isWhole ? bytes : nil
  }

  mutating func write(address: UInt64, bytes new: [UInt8]) -> Bool {
    eachPiece(address: address, count: new.count) { pages, number, range, offset in
      guard pages[number]?.permission == .readWrite else { return false }
      pages[number]?.bytes.replaceSubrange(range, with: new[offset..<(offset + range.count)])
      return true
    }
  }

  func pin(address: UInt64, count: UInt64, forWriting: Bool) -> Bool {
    guard count > 0, !address.addingReportingOverflow(count).overflow else { return false }
    let numbers = address / Self.pageByteCount...(address + count - 1) / Self.pageByteCount
    guard numbers.count <= pages.count else { return false }
    return numbers.allSatisfy { number in
      guard let page = pages[number] else { return false }
      return !forWriting || page.permission == .readWrite
    }
  }

  func isFirmware(descriptor: Int32) -> Bool { firmware.contains(descriptor) }

  func findMachine(descriptor: Int32) -> VirtualMachineID? { machines[descriptor] }

  /// Anonymous memory: the page's own address is its place.
  func identifyPages(address: UInt64, count: UInt64) -> [PageIdentity]? {
    guard pin(address: address, count: count, forWriting: false) else { return nil }
    let numbers = address / Self.pageByteCount...(address + count - 1) / Self.pageByteCount
    return numbers.map { PageIdentity(inode: 1, offset: $0 * Self.pageByteCount) }
  }
}
