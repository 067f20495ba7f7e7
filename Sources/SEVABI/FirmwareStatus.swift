/// A status of the SEV firmware (SEV API, document 55766), found in `kvm_sev_cmd.error`.
public enum FirmwareStatus: UInt32, Error, CaseIterable, Hashable, Sendable {
  case success = 0x00
  case invalidPlatformState = 0x01
  case invalidGuestState = 0x02
  case invalidConfiguration = 0x03
  case invalidLength = 0x04
  case alreadyOwned = 0x05
  case invalidCertificate = 0x06
  case policyFailure = 0x07
  case inactive = 0x08
  case invalidAddress = 0x09
  case badSignature = 0x0A
  case badMeasurement = 0x0B
  case asidOwned = 0x0C
  case invalidASID = 0x0D
  case wbinvdRequired = 0x0E
  case dfFlushRequired = 0x0F
  case invalidGuest = 0x10
  case invalidCommand = 0x11
  case active = 0x12
  case hardwareErrorPlatform = 0x13
  case hardwareErrorUnsafe = 0x14
  case unsupported = 0x15
  case invalidParameter = 0x16
  case resourceLimit = 0x17
  case secureDataInvalid = 0x18
  /// The kernel's own mark for "the firmware was never called"; no firmware returns it.
  case neverCalled = 0xFFFF_FFFF

  /// The name in AMD's document.
  public var symbol: String {
    switch self {
    case .success: "SUCCESS"
    case .invalidPlatformState: "INVALID_PLATFORM_STATE"
    case .invalidGuestState: "INVALID_GUEST_STATE"
    case .invalidConfiguration: "INVALID_CONFIG"
    case .invalidLength: "INVALID_LENGTH"
    case .alreadyOwned: "ALREADY_OWNED"
    case .invalidCertificate: "INVALID_CERTIFICATE"
    case .policyFailure: "POLICY_FAILURE"
    case .inactive: "INACTIVE"
    case .invalidAddress: "INVALID_ADDRESS"
    case .badSignature: "BAD_SIGNATURE"
    case .badMeasurement: "BAD_MEASUREMENT"
    case .asidOwned: "ASID_OWNED"
    case .invalidASID: "INVALID_ASID"
    case .wbinvdRequired: "WBINVD_REQUIRED"
    case .dfFlushRequired: "DFFLUSH_REQUIRED"
    case .invalidGuest: "INVALID_GUEST"
    case .invalidCommand: "INVALID_COMMAND"
    case .active: "ACTIVE"
    case .hardwareErrorPlatform: "HWERROR_PLATFORM"
    case .hardwareErrorUnsafe: "HWERROR_UNSAFE"
    case .unsupported: "UNSUPPORTED"
    case .invalidParameter: "INVALID_PARAM"
    case .resourceLimit: "RESOURCE_LIMIT"
    case .secureDataInvalid: "SECURE_DATA_INVALID"
    case .neverCalled: "the firmware was not called"
    }
  }
}
