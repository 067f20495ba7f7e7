import SEVABI

/// What the bytes at an address are, as far as the reference has to know.
enum NaiveContent: Hashable {
  case garbage
  /// The guest owner's Diffie-Hellman certificate.
  case ownerCertificate
  /// The platform's own, as it was in an edition of the platform's identity.
  case platformCertificate(Int)
  /// The platform's certificates of that edition, PEK, OCA and CEK.
  case platformChain(Int)
  /// What PEK_CSR gave in an edition, signed by the tests' owner or not.
  case signingRequest(Int, isSigned: Bool)
  /// The certificate of the tests' owner as a certificate authority.
  case ownerAuthority
  /// ASK and ARK.
  case amdChain
  /// A session that the owner made for the platform of an edition and this policy.
  case ownerSession(policy: UInt32, edition: Int)
  /// The session that a SEND_START made, by its number.
  case sentSession(Int)
  /// Header and data of the packet with this number.
  case packetHeader(Int, NaiveDamage)
  case packetData(Int, NaiveDamage)
  /// Header and data of a secret, authenticated with the owner's key and this measurement.
  case secretHeader(measurement: Int, flags: UInt32)
  case secretData
}

/// What happened to a header or data on the way.
enum NaiveDamage: Hashable, CaseIterable {
  case none
  /// The flag that says the data is compressed.
  case compressed
  /// One bit of what the MAC covers.
  case flipped
}

/// A pointer and a length in a command's struct, and what is there.
struct NaiveBuffer: Hashable, CustomStringConvertible {
  var address: UInt64 = 0
  var length: UInt32 = 0
  var content = NaiveContent.garbage

  var description: String { "\(length) bytes at 0x\(String(address, radix: 16)) (\(content))" }
}

/// All that the commands' structs can carry. A command looks at its own fields only.
struct NaiveArguments: Hashable, CustomStringConvertible {
  var policy: UInt32 = 0
  /// LAUNCH_START, RECEIVE_START: the guest whose key is shared.
  var handle: UInt32 = 0
  var certificate = NaiveBuffer()
  var session = NaiveBuffer()
  var platformCertificates = NaiveBuffer()
  var amdCertificates = NaiveBuffer()
  var header = NaiveBuffer()
  var guest = NaiveBuffer()
  var transport = NaiveBuffer()
  /// DBG: where to; its source is `guest`.
  var destination: UInt64 = 0
  /// LOCAL_RECEIVE.
  var token: UInt64 = 0
  /// INIT2.
  var features: UInt64 = 0
  var flags: UInt32 = 0
  var ghcbVersion: UInt16 = 0

  /// What is not as in a new value.
  var description: String {
    zip(Mirror(reflecting: self).children, Mirror(reflecting: NaiveArguments()).children)
      .map { (name: $0.label ?? "", here: "\($0.value)", usual: "\($1.value)") }
      .filter { $0.here != $0.usual }
      .map { "\($0.name): \($0.here)" }
      .joined(separator: ", ")
  }
}

/// Whether the process may use a page of arguments.
enum NaiveAccess: Hashable {
  case unmapped, readOnly, readWrite
}

struct NaiveCommand: Hashable, CustomStringConvertible {
  var id: UInt32
  var machine: Int
  var arguments = NaiveArguments()
  /// The descriptor number in the command block.
  var descriptor = Address.firmware
  /// The page with the command's own struct, and whether the block can be written back.
  var structure = NaiveAccess.readWrite
  var block = NaiveAccess.readWrite

  var description: String {
    "\(SEVCommandID(rawValue: id)?.name ?? "") \(id) on VM \(machine), descriptor \(descriptor), struct "
      + "\(structure), block \(block): \(arguments)"
  }
}

/// One call of a process. VMs and vCPUs are numbered in the order in which they were made.
struct NaiveRequest: Hashable, CustomStringConvertible {
  enum Call: Hashable {
    case makeMachine(type: UInt64)
    case makeVCPU(machine: Int, number: UInt32)
    /// KVM_SET_GUEST_DEBUG with control 1 or 0.
    case guestDebug(machine: Int, vcpu: Int, isOn: Bool)
    case destroy(machine: Int)
    case command(NaiveCommand)
    case registerRegion(machine: Int, address: UInt64, size: UInt64)
    case unregisterRegion(machine: Int, address: UInt64, size: UInt64)
    /// KVM_ENABLE_CAP; no source is a number that is no VM.
    case enableCapability(machine: Int, number: UInt32, flags: UInt32, source: Int?)
    case run(machine: Int, vcpu: Int)
    case device(NaiveDeviceCommand)
    /// KVM_ENABLE_CAP of what ends a vCPU's run.
    case enableExits(machine: Int, number: UInt32, argument: UInt64)
    /// Filters the migration MSR, or lets it through again.
    case denyMSR(machine: Int)
    case hypercall(machine: Int, vcpu: Int, number: UInt64, arguments: [UInt64], privilege: UInt8)
    case readMSR(machine: Int, vcpu: Int, index: UInt32)
    case writeMSR(machine: Int, vcpu: Int, index: UInt32, value: UInt64)
    case getSharedPages(machine: Int, NaiveList)
    case setSharedPages(machine: Int, NaiveList)

    /// The VM that guests' calls and the list of their pages are about.
    var speaker: Int? {
      switch self {
      case .hypercall(let machine, _, _, _, _), .readMSR(let machine, _, _),
        .writeMSR(let machine, _, _, _), .getSharedPages(let machine, _), .setSharedPages(let machine, _),
        .enableExits(let machine, _, _), .denyMSR(let machine):
        machine
      case .makeMachine, .makeVCPU, .guestDebug, .destroy, .command, .registerRegion, .unregisterRegion,
        .enableCapability, .run, .device:
        nil
      }
    }
  }

  var call: Call
  /// Which of two address spaces calls.
  var space: UInt64 = 1
  /// The memlock limit in pages; none with CAP_IPC_LOCK.
  var lockablePages: UInt64?
  /// Whether descriptor 0 of the process is the firmware device too.
  var hasFirmwareAtZero = true

  var description: String {
    let limit = lockablePages.map { ", memlock limit \($0) pages" } ?? ""
    return "process \(space)\(limit)\(hasFirmwareAtZero ? "" : ", no firmware at 0"): \(call)"
  }
}

/// Where the random sequences put things. Everything from `first` to `end` is mapped; the two argument pages
/// change.
enum NaivePlace {
  static let block: UInt64 = 0x10_0000
  static let structure: UInt64 = 0x11_0000
  static let certificate: UInt64 = 0x12_0000
  static let session: UInt64 = 0x13_0000
  static let platformCertificates: UInt64 = 0x14_0000
  static let amdCertificates: UInt64 = 0x15_0000
  static let header: UInt64 = 0x16_0000
  static let transport: UInt64 = 0x17_0000
  static let output: UInt64 = 0x18_0000
  static let guest: UInt64 = 0x20_0000
  static let mapped: Range<UInt64> = 0x10_0000..<0x22_0000
  static let unmapped: UInt64 = 0x66_6000

  static func isMapped(_ address: UInt64, _ count: UInt64) -> Bool {
    let (end, overflow) = address.addingReportingOverflow(count)
    return !overflow && address >= mapped.lowerBound && end <= mapped.upperBound
  }
}

/// How a call ended, in what a process sees.
struct NaiveAnswer: Hashable, CustomStringConvertible {
  var error: KernelError?
  /// `kvm_sev_cmd.error` afterwards; `untouched` where there is none.
  var firmware = untouched
  /// Fields that the command wrote to its struct: handle; handle, policy, state; lengths.
  var fields: [UInt64] = []

  /// What the process put in the field before.
  static let untouched: UInt32 = 0x5EED

  var description: String {
    let status =
      firmware == Self.untouched ? "untouched" : FirmwareStatus(rawValue: firmware)?.symbol ?? "\(firmware)"
    return "\(error?.symbol ?? "0"), \(status), \(fields)"
  }
}
