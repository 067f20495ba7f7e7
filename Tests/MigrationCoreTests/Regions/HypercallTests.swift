import EncryptionStatus
import MigrationCore
import Testing

@Suite("A guest's hypercall about its pages")
struct HypercallTests {
  private func decide(
    _ address: UInt64, _ count: UInt64, _ attributes: UInt64, number: UInt64 = 12, privilege: UInt8 = 0,
    isOffered: Bool = true
  ) -> HypercallExit.Decision {
    HypercallExit(number: number, arguments: [address, count, attributes, 9, 9, 9], privilege: privilege)
      .decision(isOffered: isOffered)
  }

  @Test("names pages, which become shared or private")
  func pages() {
    #expect(
      decide(0x5000, 3, 0)
        == .map(PageRange(frames: 5..<8, isEncrypted: false, size: .fourKilobytes)))
    #expect(
      decide(0x5000, 3, 0x10)
        == .map(PageRange(frames: 5..<8, isEncrypted: true, size: .fourKilobytes)))
    #expect(decide(0, 1, 0) == .map(PageRange(frames: 0..<1, isEncrypted: false, size: .fourKilobytes)))
  }

  @Test("counts in pages of 4 KiB whatever page size it wishes for")
  func sizes() {
    for (attributes, size) in [
      (UInt64(0), PageRange.Size.fourKilobytes), (1, .twoMegabytes), (2, .oneGigabyte),
    ] {
      #expect(
        decide(0x20_0000, 512, attributes | 0x10)
          == .map(PageRange(frames: 512..<1024, isEncrypted: true, size: size)))
    }
  }

  @Test("is -EINVAL for an address within a page, for no pages and for too many")
  func invalid() {
    for address: UInt64 in [1, 0xFFF, 0x5800] { #expect(decide(address, 1, 0) == .returns(-22)) }
    #expect(decide(0x5000, 0, 0) == .returns(-22))
    #expect(decide(0x5000, .max, 0) == .returns(-22))
    #expect(decide(0xFFFF_FFFF_FFFF_F000, .max - 0xF_FFFF_FFFF_FFFE, 0) == .returns(-22))
    // One page behind the last address there can be.
    #expect(
      decide(0, 1 << 40, 0) == .map(PageRange(frames: 0..<1 << 40, isEncrypted: false, size: .fourKilobytes)))
    #expect(decide(0, 1 << 40 + 1, 0) == .returns(-22))
    #expect(decide(1 << 52, 1, 0) == .returns(-22))
  }

  @Test("is -EINVAL for attributes that mean nothing")
  func attributes() {
    for attributes: UInt64 in [3, 0xF, 0x20, 0x13, 1 << 63] {
      #expect(decide(0x5000, 1, attributes) == .returns(-22))
    }
  }

  @Test("is -EPERM from user mode, before anything else")
  func privilege() {
    for level: UInt8 in 1...3 {
      #expect(decide(0x5000, 1, 0, privilege: level) == .returns(-1))
      #expect(decide(1, 0, 0, number: 99, privilege: level) == .returns(-1))
    }
  }

  @Test("is -1000 where it was not offered, and any other one is")
  func unknown() {
    #expect(decide(0x5000, 1, 0, isOffered: false) == .returns(-1000))
    #expect(decide(1, 0, 0, isOffered: false) == .returns(-1000))
    for number: UInt64 in [0, 1, 11, 13, .max] { #expect(decide(0, 1, 0, number: number) == .returns(-1000)) }
    #expect(HypercallExit(number: 12, arguments: [0, 1]).decision(isOffered: true) == .returns(-1000))
  }
}

@Suite("A guest's register for live migration")
struct MigrationControlTests {
  @Test("starts at 0 for an encrypted guest and at 1 for another")
  func initial() {
    #expect(MigrationControl(isEncrypted: true).value == 0)
    #expect(!MigrationControl(isEncrypted: true).isReady)
    #expect(MigrationControl(isEncrypted: false).value == 1)
    #expect(MigrationControl(isEncrypted: false).isReady)
    #expect(MigrationControl.register == 0x4B56_4D08)
  }

  @Test("takes 0 and 1, and a fault for everything else")
  func writes() {
    var control = MigrationControl(isEncrypted: true)
    #expect(control.write(1) == true)
    #expect(control.isReady)
    for value: UInt64 in [2, 3, 1 << 63, .max] { #expect(control.write(value) == false) }
    #expect(control.value == 1)
    #expect(control.write(0) == true)
    #expect(!control.isReady)
    #expect(MigrationControl(value: 1)?.isReady == true)
    #expect(MigrationControl(value: 2) == nil)
  }
}
