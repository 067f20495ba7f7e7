import EncryptionStatus
import MigrationCore
import Testing

@Suite("What a VMM knows of a guest's encrypted memory")
struct MemoryEncryptionStatusTests {
  private static let shared: UInt64 = 0
  private static let encrypted: UInt64 = 0x10

  private func call(_ frames: Range<UInt64>, _ attributes: UInt64) -> HypercallExit {
    HypercallExit(
      number: 12, arguments: [frames.lowerBound << 12, UInt64(frames.count), attributes])
  }

  /// A guest that has booted: some pages shared, ready.
  private func booted() -> MemoryEncryptionStatus {
    var status = MemoryEncryptionStatus(isEncrypted: true)
    #expect(status.hypercall(call(0..<0x8_0000, Self.encrypted)) == 0)
    #expect(status.hypercall(call(0x100..<0x200, Self.shared)) == 0)
    #expect(status.hypercall(call(0x7000..<0x7001, Self.shared)) == 0)
    #expect(status.writeMSR(0x4B56_4D08, 1) == true)
    return status
  }

  @Test("is that a page goes through the firmware unless the guest shares it")
  func kinds() {
    let status = booted()
    #expect(status.kind(ofFrame: 0) == .encrypted)
    #expect(status.kind(ofFrame: 0x100) == .plain)
    #expect(status.kind(ofFrame: 0x1FF) == .plain)
    #expect(status.kind(ofFrame: 0x200) == .encrypted)
    let runs = status.runs(in: 0xF0..<0x210)
    #expect(runs.map(\.frames) == [0xF0..<0x100, 0x100..<0x200, 0x200..<0x210])
    #expect(runs.map(\.kind) == [.encrypted, .plain, .encrypted])
  }

  @Test("is that all pages of a guest without encryption are plain")
  func plainGuest() {
    let status = MemoryEncryptionStatus(isEncrypted: false)
    #expect(status.control.isReady)
    #expect(status.kind(ofFrame: 5) == .plain)
    #expect(status.runs(in: 3..<9).map(\.frames) == [3..<9])
    #expect(status.runs(in: 3..<9).map(\.kind) == [.plain])
    #expect(status.runs(in: 3..<3).isEmpty)
  }

  @Test("changes nothing when the hypercall is refused")
  func refused() {
    var status = booted()
    let before = status
    #expect(status.hypercall(HypercallExit(number: 12, arguments: [0x1800, 1, 0])) == -22)
    #expect(status.hypercall(HypercallExit(number: 12, arguments: [0x1000, 1, 0], privilege: 3)) == -1)
    #expect(status.hypercall(HypercallExit(number: 7, arguments: [0x1000, 1, 0])) == -1000)
    #expect(status == before)
  }

  @Test("has only the one register, and only if it was offered")
  func register() {
    var status = booted()
    #expect(status.readMSR(0x4B56_4D08) == 1)
    #expect(status.readMSR(0x4B56_4D07) == nil)
    #expect(status.writeMSR(0x4B56_4D09, 1) == false)
    #expect(status.writeMSR(0x4B56_4D08, 4) == false)
    var without = MemoryEncryptionStatus(isEncrypted: true, isOffered: false)
    #expect(without.readMSR(0x4B56_4D08) == nil)
    #expect(without.writeMSR(0x4B56_4D08, 1) == false)
    #expect(without.hypercall(call(1..<2, Self.shared)) == -1000)
    #expect(without.regions.isEmpty && !without.control.isReady)
  }

  @Test("is forgotten when the guest is reset")
  func reboot() {
    var status = booted()
    status.guestWasReset()
    #expect(status == MemoryEncryptionStatus(isEncrypted: true))
    #expect(status.kind(ofFrame: 0x100) == .encrypted && !status.control.isReady)
  }

  @Test("survives the guest's own start of another kernel until that one says what it has")
  func kexec() {
    var status = booted()
    #expect(status.writeMSR(0x4B56_4D08, 0) == true)
    // The pages are still as they were; the guest only is not ready any more.
    #expect(status.kind(ofFrame: 0x100) == .plain && !status.control.isReady)
    // The new kernel reports all of its memory as private, then what it shares.
    #expect(status.hypercall(call(0..<0x8_0000, Self.encrypted)) == 0)
    #expect(status.regions.isEmpty)
    #expect(status.hypercall(call(0x300..<0x310, Self.shared)) == 0)
    #expect(status.writeMSR(0x4B56_4D08, 1) == true)
    #expect(status.regions.ranges == [0x300..<0x310])
  }

  @Test("is not complete once the guest reports more pieces than there is room for")
  func tooFragmented() throws {
    var status = MemoryEncryptionStatus(isEncrypted: true)
    let count = UInt64(SharedRegions.maximumCount)
    for index in 0..<count { #expect(status.hypercall(call(2 * index..<2 * index + 1, Self.shared)) == 0) }
    #expect(status.isComplete)
    #expect(status.hypercall(call(2 * count..<2 * count + 1, Self.shared)) == -7)
    #expect(!status.isComplete)
    #expect(try MemoryEncryptionStatus(decoding: status.encoded()) == status)
    // Something about other pages does not mend it; something about those pages does.
    #expect(status.hypercall(call(0..<1, Self.encrypted)) == 0)
    #expect(!status.isComplete)
    var told = status
    #expect(told.hypercall(call(0..<4 * count, Self.encrypted)) == 0)
    #expect(told.isComplete)
    status.guestWasReset()
    #expect(status.isComplete)
  }

  @Test("is the same after it was saved and loaded")
  func roundTrip() throws {
    for status in [
      booted(), MemoryEncryptionStatus(isEncrypted: false),
      MemoryEncryptionStatus(isEncrypted: true, isOffered: false),
    ] {
      #expect(try MemoryEncryptionStatus(decoding: status.encoded()) == status)
    }
    var target = MemoryEncryptionStatus(isEncrypted: true)
    try target.loadRegions(booted().savedRegions())
    #expect(target.regions == booted().regions)
    let before = target
    #expect(throws: SharedRegionsError.self) { try target.loadRegions([1, 2, 3]) }
    #expect(target == before)
  }

  @Test("is read only as it was written")
  func malformed() {
    let good = booted().encoded()
    for count in 0..<good.count {
      #expect(throws: SharedRegionsError.self) {
        try MemoryEncryptionStatus(decoding: Array(good.prefix(count)))
      }
    }
    func changed(_ offset: Int, _ byte: UInt8) -> [UInt8] {
      var bytes = good
      bytes[offset] = byte
      return bytes
    }
    #expect(throws: SharedRegionsError.unknownVersion(2)) {
      try MemoryEncryptionStatus(decoding: changed(0, 2))
    }
    #expect(throws: SharedRegionsError.unknownFlags(0xB)) {
      try MemoryEncryptionStatus(decoding: changed(4, 0xB))
    }
    #expect(throws: SharedRegionsError.unknownFlags(7)) {
      try MemoryEncryptionStatus(decoding: changed(4, 7))
    }
    #expect(throws: SharedRegionsError.unknownFlags(3)) {
      try MemoryEncryptionStatus(decoding: changed(16, 1))
    }
    #expect(throws: SharedRegionsError.badControl(3)) {
      try MemoryEncryptionStatus(decoding: changed(8, 3))
    }
  }
}
