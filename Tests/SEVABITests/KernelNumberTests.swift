import SEVABI
import Testing

@Suite("Numbers of the kernel and the firmware")
struct KernelNumberTests {
  @Test("command ids follow the kernel's enumeration, with the local-migration patches at 22 and 23")
  func commands() {
    let names = [
      "INIT", "ES_INIT", "LAUNCH_START", "LAUNCH_UPDATE_DATA", "LAUNCH_UPDATE_VMSA", "LAUNCH_SECRET",
      "LAUNCH_MEASURE", "LAUNCH_FINISH", "SEND_START", "SEND_UPDATE_DATA", "SEND_UPDATE_VMSA", "SEND_FINISH",
      "RECEIVE_START", "RECEIVE_UPDATE_DATA", "RECEIVE_UPDATE_VMSA", "RECEIVE_FINISH", "GUEST_STATUS",
      "DBG_DECRYPT", "DBG_ENCRYPT", "CERT_EXPORT", "GET_ATTESTATION_REPORT", "SEND_CANCEL", "LOCAL_SEND",
      "LOCAL_RECEIVE",
    ]
    #expect(SEVCommandID.allCases.map(\.name) == names)
    #expect(SEVCommandID.allCases.map(\.rawValue) == Array(0..<24))
    #expect(SEVCommandID(rawValue: 24) == nil)
  }

  @Test("each command has a struct of the kernel's size")
  func parameterSizes() {
    let sizes = [0, 0, 40, 16, 0, 48, 16, 0, 72, 48, 0, 0, 40, 48, 0, 0, 12, 24, 24, 0, 32, 0, 8, 16]
    #expect(SEVCommandID.allCases.map(\.parameterByteCount) == sizes)
    #expect(SEVCommandID.maximumParameterByteCount == sizes.max())
  }

  @Test("ioctl numbers are those of x86-64")
  func ioctls() {
    #expect(SEVIoctl.memoryEncryptOperation == 0xC008_AEBA)
    #expect(SEVIoctl.registerRegion == 0x8010_AEBB)
    #expect(SEVIoctl.unregisterRegion == 0x8010_AEBC)
    #expect(SEVIoctl.enableCapability == 0x4068_AEA3)
    // _IOW of type 0xAE, number 0xC8 and 0xC9, 24 bytes.
    #expect(SEVIoctl.getSharedPages == 1 << 30 | 24 << 16 | 0xAE << 8 | 0xC8)
    #expect(SEVIoctl.setSharedPages == 1 << 30 | 24 << 16 | 0xAE << 8 | 0xC9)
  }

  @Test("capabilities and machine types have the kernel's numbers")
  func capabilities() {
    #expect(KernelCapability.allCases.map(\.rawValue) == [188, 197, 201, 206, 235])
    #expect(MachineType.allCases.map(\.rawValue) == [0, 1, 2, 3, 4, 5])
    #expect(PageStatus.hypercall == 12)
    #expect(PageStatus.migrationControlMSR == 0x4B56_4D08)
    #expect(PageStatus.encryptedAttribute == 0x10)
    #expect(PageStatus.mapRangeFeature == 0x1_0000)
    #expect(PageStatus.migrationControlFeature == 0x2_0000)
    #expect(SEVCommandID.initialize2Number == SEVCommandID.localSend.rawValue)
  }

  @Test("errno values are those of x86-64")
  func errors() {
    let expected: [KernelError: (Int32, String)] = [
      .notPermitted: (1, "EPERM"), .interrupted: (4, "EINTR"), .inputOutput: (5, "EIO"),
      .tooBig: (7, "E2BIG"), .badDescriptor: (9, "EBADF"), .outOfMemory: (12, "ENOMEM"),
      .badAddress: (14, "EFAULT"),
      .busy: (16, "EBUSY"), .alreadyExists: (17, "EEXIST"), .noDevice: (19, "ENODEV"),
      .invalidArgument: (22, "EINVAL"), .notSupported: (25, "ENOTTY"), .timedOut: (110, "ETIMEDOUT"),
    ]
    #expect(expected.count == KernelError.allCases.count)
    for (error, (code, symbol)) in expected {
      #expect(error.rawValue == code)
      #expect(error.symbol == symbol)
    }
  }

  @Test("firmware statuses run from 0 to 0x18 in the order of AMD's document")
  func statuses() {
    let symbols = [
      "SUCCESS", "INVALID_PLATFORM_STATE", "INVALID_GUEST_STATE", "INVALID_CONFIG", "INVALID_LENGTH",
      "ALREADY_OWNED", "INVALID_CERTIFICATE", "POLICY_FAILURE", "INACTIVE", "INVALID_ADDRESS",
      "BAD_SIGNATURE", "BAD_MEASUREMENT", "ASID_OWNED", "INVALID_ASID", "WBINVD_REQUIRED",
      "DFFLUSH_REQUIRED", "INVALID_GUEST", "INVALID_COMMAND", "ACTIVE", "HWERROR_PLATFORM",
      "HWERROR_UNSAFE", "UNSUPPORTED", "INVALID_PARAM", "RESOURCE_LIMIT", "SECURE_DATA_INVALID",
    ]
    let statuses = FirmwareStatus.allCases.filter { $0 != .neverCalled }
    #expect(statuses.map(\.symbol) == symbols)
    #expect(statuses.map(\.rawValue) == Array(0...0x18))
    #expect(FirmwareStatus.neverCalled.rawValue == 0xFFFF_FFFF)
  }

  @Test("guest states follow the firmware: 4 is sending, 5 is receiving")
  func states() {
    #expect(GuestState.allCases.map(\.rawValue) == Array(0...6))
    #expect(GuestState.sending.rawValue == 4)
    #expect(GuestState.receiving.rawValue == 5)
  }

  @Test("policy bits are where the firmware has them")
  func policy() {
    let bits: [(GuestPolicy, UInt32)] = [
      (.noDebugging, 1), (.noKeySharing, 2), (.encryptedState, 4), (.noSending, 8), (.sameDomain, 16),
      (.genuinePlatform, 32), (.reserved, 0xFFC0),
    ]
    for (policy, value) in bits { #expect(policy.rawValue == value) }
    let needed = GuestPolicy(rawValue: 0x1801_0000).minimumAPI
    #expect(needed.major == 1)
    #expect(needed.minor == 0x18)
  }
}
