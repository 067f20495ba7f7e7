extension SEVIoctl {
  /// `SEV_ISSUE_CMD` on `/dev/sev`; its argument is the address of a ``DeviceCommandBlock``.
  public static let issueCommand: UInt = 0xC010_5300
}

/// A command of `/dev/sev` (`linux/psp-sev.h`), for the platform and not for one guest.
public enum DeviceCommandID: UInt32, CaseIterable, Hashable, Sendable {
  /// `SEV_FACTORY_RESET`: the platform's identity is wiped.
  case factoryReset = 0
  case platformStatus = 1
  /// `SEV_PEK_GEN`: a new platform endorsement key; the platform is its own owner.
  case generatePEK = 2
  /// `SEV_PEK_CSR`: the endorsement key's certificate for an owner to sign.
  case certificateSigningRequest = 3
  /// `SEV_PDH_GEN`: a new Diffie-Hellman key.
  case generatePDH = 4
  /// `SEV_PDH_CERT_EXPORT`: what a guest's owner or a sending machine needs.
  case exportPDH = 5
  /// `SEV_PEK_CERT_IMPORT`: the endorsement key as an owner signed it.
  case importPEK = 6
  /// `SEV_GET_ID`: deprecated, since the caller cannot say how much room there is.
  case getID = 7
  /// `SEV_GET_ID2`.
  case getID2 = 8

  /// The name in the kernel's header.
  public var symbol: String {
    switch self {
    case .factoryReset: "SEV_FACTORY_RESET"
    case .platformStatus: "SEV_PLATFORM_STATUS"
    case .generatePEK: "SEV_PEK_GEN"
    case .certificateSigningRequest: "SEV_PEK_CSR"
    case .generatePDH: "SEV_PDH_GEN"
    case .exportPDH: "SEV_PDH_CERT_EXPORT"
    case .importPEK: "SEV_PEK_CERT_IMPORT"
    case .getID: "SEV_GET_ID"
    case .getID2: "SEV_GET_ID2"
    }
  }
}

/// `struct sev_issue_cmd`: what the argument of `SEV_ISSUE_CMD` points at, 16 bytes, packed.
public struct DeviceCommandBlock: KernelStructure {
  public static let byteCount = 16

  /// The command's number as the caller gave it, which need not be a known one.
  public var id: UInt32
  /// The user address of the command's own struct, or 0.
  public var data: UInt64
  /// Out: the firmware's status. Keeps the caller's value when the firmware was not called.
  public var error: UInt32

  public init(id: UInt32, data: UInt64 = 0, error: UInt32 = 0) {
    self.id = id
    self.data = data
    self.error = error
  }

  public init(decoding bytes: Span<UInt8>) {
    id = bytes.uint32(at: 0)
    data = bytes.uint64(at: 4)
    error = bytes.uint32(at: 12)
  }

  public func encode(into bytes: inout MutableSpan<UInt8>) {
    clear(&bytes, count: Self.byteCount)
    bytes.store(id, at: 0)
    bytes.store(data, at: 4)
    bytes.store(error, at: 12)
  }
}
