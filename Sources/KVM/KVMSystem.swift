import Glibc
import LinuxOS

/// `/dev/kvm`: what the host's KVM can do, and the maker of VMs.
public final class KVMSystem: Sendable {
  private let handle: KVMHandle
  /// Size of a vCPU's run page in bytes.
  let runPageBytes: Int
  /// MSRs that belong to a guest's state, as `KVM_GET_MSR_INDEX_LIST` names them.
  let stateMSRs: [UInt32]
  /// `struct kvm_cpuid2` with everything that this host supports.
  let supportedCPUID: [UInt8]

  /// Opens `/dev/kvm`.
  ///
  /// - Throws: ``KVMError`` with `ENOENT` or `ENODEV` when there is no KVM, `EACCES` when this user may
  ///   not open it, and with a detail for an interface version other than 12.
  public init() throws(KVMError) {
    let descriptor: OwnedDescriptor
    do throws(SystemError) {
      descriptor = try Files.open("/dev/kvm", .readWrite)
    } catch {
      throw KVMError(.getAPIVersion, on: "/dev/kvm", code: error.code, detail: error.description)
    }
    let handle = KVMHandle(descriptor, subject: "/dev/kvm", trace: nil)
    let version = try handle.call(.getAPIVersion)
    guard version == 12 else {
      throw KVMError(
        .getAPIVersion, on: "/dev/kvm", code: 0, detail: "the interface has version \(version), not 12")
    }
    guard try handle.call(.checkExtension, KVMCapability.immediateExit.rawValue) > 0 else {
      throw KVMError(
        .checkExtension, on: "/dev/kvm", code: 0, detail: "the host's KVM has no immediate exit")
    }
    runPageBytes = Int(try handle.call(.getVCPUMapSize))
    stateMSRs = try Self.readMSRIndexList(handle)
    supportedCPUID = try Self.readSupportedCPUID(handle)
    self.handle = handle
  }

  /// The value of a capability; 0 when it is not there.
  public func capability(_ capability: KVMCapability) throws(KVMError) -> Int {
    Int(try handle.call(.checkExtension, capability.rawValue))
  }

  /// Creates a VM of the default machine type, without vCPUs or memory.
  func createVM(trace: KVMTrace?) throws(KVMError) -> KVMHandle {
    let number = try handle.call(.createVM, 0)
    return KVMHandle(OwnedDescriptor(adopting: number), subject: "the VM", trace: trace)
  }

  private static func readMSRIndexList(_ handle: borrowing KVMHandle) throws(KVMError) -> [UInt32] {
    // struct kvm_msr_list: count, then indices; a count that is too small is answered with E2BIG.
    let room = 1024
    var list = [UInt8](repeating: 0, count: 4 + 4 * room)
    list.setInteger(UInt32(room), at: 0)
    try handle.exchange(.getMSRIndexList, &list)
    let count = min(Int(list.integer(at: 0, as: UInt32.self)), room)
    return (0..<count).map { list.integer(at: 4 + 4 * $0, as: UInt32.self) }
  }

  private static func readSupportedCPUID(_ handle: borrowing KVMHandle) throws(KVMError) -> [UInt8] {
    let room = 256
    var cpuid = [UInt8](repeating: 0, count: CPUIDTable.headerBytes + CPUIDTable.entryBytes * room)
    cpuid.setInteger(UInt32(room), at: 0)
    try handle.exchange(.getSupportedCPUID, &cpuid)
    let count = min(Int(cpuid.integer(at: 0, as: UInt32.self)), room)
    return [UInt8](cpuid.prefix(CPUIDTable.headerBytes + CPUIDTable.entryBytes * count))
  }
}

/// `struct kvm_cpuid2`: a count, padding, then entries of 40 bytes (function, index, flags, eax, ebx,
/// ecx, edx, padding).
enum CPUIDTable {
  static let headerBytes = 8
  static let entryBytes = 40
  static let maximumEntries = 256

  /// The leaf with what a guest may use of KVM, in EAX.
  static let featureLeaf: UInt32 = 0x4000_0001

  /// The table for one vCPU: its APIC id where the CPU says its own, and features that the VMM offers besides
  /// KVM's own.
  static func table(_ supported: [UInt8], apicID: UInt32, guestFeatures: UInt32 = 0) -> [UInt8] {
    var table = supported
    let count = Int(table.integer(at: 0, as: UInt32.self))
    for entry in 0..<count {
      let offset = headerBytes + entry * entryBytes
      switch table.integer(at: offset, as: UInt32.self) {
      case 1:
        let ebx = table.integer(at: offset + 16, as: UInt32.self)
        table.setInteger(ebx & 0x00FF_FFFF | apicID << 24, at: offset + 16)
      case 0xB, 0x1F: table.setInteger(apicID, at: offset + 24)
      case featureLeaf:
        table.setInteger(
          table.integer(at: offset + 12, as: UInt32.self) | guestFeatures, at: offset + 12)
      default: break
      }
    }
    return table
  }

  /// What the table offers a guest of KVM; 0 without the leaf.
  static func guestFeatures(_ table: [UInt8]) -> UInt32 {
    let count = Int(table.integer(at: 0, as: UInt32.self))
    for entry in 0..<count {
      let offset = headerBytes + entry * entryBytes
      if table.integer(at: offset, as: UInt32.self) == featureLeaf {
        return table.integer(at: offset + 12, as: UInt32.self)
      }
    }
    return 0
  }

  /// Whether the table offers a kvmclock by the newer MSRs.
  static func hasKVMClock(_ table: [UInt8]) -> Bool { guestFeatures(table) & 1 << 3 != 0 }

  /// Whether the bytes are a table as the kernel takes it.
  static func isWellFormed(_ bytes: [UInt8]) -> Bool {
    guard bytes.count >= headerBytes else { return false }
    let count = Int(bytes.integer(at: 0, as: UInt32.self))
    return count <= maximumEntries && bytes.count == headerBytes + count * entryBytes
  }
}
