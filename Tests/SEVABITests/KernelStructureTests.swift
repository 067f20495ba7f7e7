import SEVABI
import Testing

/// Bytes where field `n` of a layout holds recognisable values at its documented offset.
private func bytes(_ count: Int, _ fields: [(offset: Int, bytes: [UInt8])]) -> [UInt8] {
  var bytes = [UInt8](repeating: 0, count: count)
  for field in fields {
    bytes.replaceSubrange(field.offset..<(field.offset + field.bytes.count), with: field.bytes)
  }
  return bytes
}

private let word32: UInt32 = 0x4433_2211
private let other32: UInt32 = 0x8877_6655
private let third32: UInt32 = 0xCCBB_AA99
private let word64: UInt64 = 0xA8A7_A6A5_A4A3_A2A1
private let other64: UInt64 = 0xB8B7_B6B5_B4B3_B2B1
private let third64: UInt64 = 0xC8C7_C6C5_C4C3_C2C1
private let fourth64: UInt64 = 0xD8D7_D6D5_D4D3_D2D1
private let w32: [UInt8] = [0x11, 0x22, 0x33, 0x44]
private let o32: [UInt8] = [0x55, 0x66, 0x77, 0x88]
private let t32: [UInt8] = [0x99, 0xAA, 0xBB, 0xCC]
private let w64: [UInt8] = [0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6, 0xA7, 0xA8]
private let o64: [UInt8] = [0xB1, 0xB2, 0xB3, 0xB4, 0xB5, 0xB6, 0xB7, 0xB8]
private let t64: [UInt8] = [0xC1, 0xC2, 0xC3, 0xC4, 0xC5, 0xC6, 0xC7, 0xC8]
private let f64: [UInt8] = [0xD1, 0xD2, 0xD3, 0xD4, 0xD5, 0xD6, 0xD7, 0xD8]

@Suite("A kernel struct")
struct KernelStructureTests {
  /// Encodes to exactly `expected`, decodes to the same value, also when the holes hold garbage.
  private func check<Structure: KernelStructure>(
    _ value: Structure, _ expected: [UInt8], holes: [Range<Int>] = []
  ) {
    #expect(value.bytes == expected)
    #expect(Structure.byteCount == expected.count)
    #expect(Structure(bytes: expected) == value)
    var dirty = expected
    for hole in holes { for index in hole { dirty[index] = 0xEE } }
    #expect(Structure(bytes: dirty) == value)
    #expect(Structure(bytes: expected + [0]) == nil)
    #expect(Structure(bytes: Array(expected.dropLast())) == nil)
  }

  @Test("kvm_sev_cmd has its fields where the kernel has them")
  func command() {
    check(
      SEVCommandBlock(id: word32, data: word64, error: other32, firmwareDescriptor: -2),
      bytes(24, [(0, w32), (8, w64), (16, o32), (20, [0xFE, 0xFF, 0xFF, 0xFF])]), holes: [4..<8])
  }

  @Test("kvm_enc_region has its fields where the kernel has them")
  func region() {
    check(EncryptedRegion(address: word64, size: other64), bytes(16, [(0, w64), (8, o64)]))
  }

  @Test("kvm_sev_init has its fields where the kernel has them")
  func initialize2() {
    check(
      Initialize2Parameters(vmsaFeatures: word64, flags: word32, ghcbVersion: 0x6655),
      bytes(48, [(0, w64), (8, w32), (12, [0x55, 0x66])]), holes: [14..<48])
  }

  @Test("kvm_sev_launch_start has its fields where the kernel has them")
  func launchStart() {
    check(
      LaunchStartParameters(
        handle: word32, policy: other32, certificateAddress: word64, certificateByteCount: third32,
        sessionAddress: other64, sessionByteCount: word32),
      bytes(40, [(0, w32), (4, o32), (8, w64), (16, t32), (24, o64), (32, w32)]),
      holes: [20..<24, 36..<40])
  }

  @Test("kvm_sev_launch_update_data has its fields where the kernel has them")
  func launchUpdateData() {
    check(
      LaunchUpdateDataParameters(address: word64, length: word32), bytes(16, [(0, w64), (8, w32)]),
      holes: [12..<16])
  }

  @Test("kvm_sev_launch_measure has its fields where the kernel has them")
  func launchMeasure() {
    check(
      LaunchMeasureParameters(address: word64, length: word32), bytes(16, [(0, w64), (8, w32)]),
      holes: [12..<16])
  }

  @Test("kvm_sev_guest_status has its fields where the kernel has them")
  func guestStatus() {
    check(
      GuestStatusParameters(handle: word32, policy: other32, state: third32),
      bytes(12, [(0, w32), (4, o32), (8, t32)]))
  }

  @Test("kvm_sev_dbg has its fields where the kernel has them")
  func debug() {
    check(
      DebugParameters(sourceAddress: word64, destinationAddress: other64, length: word32),
      bytes(24, [(0, w64), (8, o64), (16, w32)]), holes: [20..<24])
  }

  @Test("kvm_sev_attestation_report has its fields where the kernel has them")
  func attestationReport() {
    check(
      AttestationReportParameters(nonceLow: word64, nonceHigh: other64, address: third64, length: word32),
      bytes(32, [(0, w64), (8, o64), (16, t64), (24, w32)]), holes: [28..<32])
  }

  @Test(
    "kvm_sev_launch_secret, send_update_data and receive_update_data have their fields where the kernel has them"
  )
  func packet() {
    check(
      PacketParameters(
        headerAddress: word64, headerByteCount: word32, guestAddress: other64, guestByteCount: other32,
        transportAddress: third64, transportByteCount: third32),
      bytes(48, [(0, w64), (8, w32), (16, o64), (24, o32), (32, t64), (40, t32)]),
      holes: [12..<16, 28..<32, 44..<48])
  }

  @Test("kvm_sev_send_start has its fields where the kernel has them")
  func sendStart() {
    check(
      SendStartParameters(
        policy: word32, diffieHellmanAddress: word64, diffieHellmanByteCount: other32,
        platformCertificatesAddress: other64, platformCertificatesByteCount: third32,
        amdCertificatesAddress: third64, amdCertificatesByteCount: word32, sessionAddress: fourth64,
        sessionByteCount: other32),
      bytes(
        72,
        [
          (0, w32), (8, w64), (16, o32), (24, o64), (32, t32), (40, t64), (48, w32), (56, f64), (64, o32),
        ]),
      holes: [4..<8, 20..<24, 36..<40, 52..<56, 68..<72])
  }

  @Test("kvm_sev_receive_start has its fields where the kernel has them")
  func receiveStart() {
    check(
      ReceiveStartParameters(
        handle: word32, policy: other32, diffieHellmanAddress: word64, diffieHellmanByteCount: third32,
        sessionAddress: other64, sessionByteCount: word32),
      bytes(40, [(0, w32), (4, o32), (8, w64), (16, t32), (24, o64), (32, w32)]),
      holes: [20..<24, 36..<40])
  }

  @Test("kvm_enable_cap has its fields where the kernel has them")
  func enableCapability() {
    check(
      EnableCapability(capability: word32, flags: other32, argument: word64),
      bytes(104, [(0, w32), (4, o32), (8, w64)]), holes: [16..<104])
  }

  @Test("kvm_shared_pages_list of the v10 series has its fields where that has them")
  func sharedPagesList() {
    check(
      SharedPagesList(countAddress: word64, bufferAddress: other64, size: word32),
      bytes(24, [(0, w64), (8, o64), (16, w32)]), holes: [20..<24])
    #expect(SharedPagesList.entryByteCount == 16)
  }

  @Test("of the local-migration patches has its size and offsets")
  func local() {
    #expect(LocalSendParameters.byteCount == 8)
    #expect(LocalSendParameters.tokenOffset == 0)
    #expect(LocalReceiveParameters.byteCount == 16)
    #expect(LocalReceiveParameters.tokenOffset == 0)
    #expect(LocalReceiveParameters.handleOffset == 8)
  }
}
