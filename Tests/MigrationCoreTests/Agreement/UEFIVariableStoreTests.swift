import MigrationCore
import Testing

@Suite("A firmware's variable store")
struct UEFIVariableStoreTests {
  private static let name = UEFIVariable.liveMigration

  @Test("is read as virt-firmware wrote it, which is what the specifications say")
  func virtFirmware() throws {
    let store = try UEFIVariableStore(decoding: VirtFirmwareStore.bytes)
    let variable = try #require(store[Self.name, .memoryEncryption])
    #expect(variable.data == [1])
    #expect(variable.attributes == [.nonVolatile, .bootService, .runtime])
    #expect(variable.vendor.description == "0cf29b71-9e51-433a-a3b7-81f3ab16b875")
    #expect(store.variables.count == 1)
    var builder = StoreBuilder()
    builder.add(Self.name, data: [1])
    #expect(builder.bytes == VirtFirmwareStore.bytes)
  }

  @Test("may be empty")
  func empty() throws {
    #expect(try UEFIVariableStore(decoding: StoreBuilder().bytes).variables.isEmpty)
  }

  @Test("has its variables in order, with names and data of any length, and by name and vendor")
  func several() throws {
    var builder = StoreBuilder()
    let other = EFIGUID(0x8BE4_DF61, 0x93CA, 0x11D2, 0xAA0D, 0x00E0_9803_2B8C)
    for count in 0..<9 {
      builder.add("Variable\(count)", data: [UInt8](repeating: UInt8(count), count: count))
    }
    builder.add(Self.name, other, data: [7])
    builder.add(Self.name, data: [1])
    builder.add("Größe 🧭", data: [2])
    let store = try UEFIVariableStore(decoding: builder.bytes)
    #expect(store.variables.count == 12)
    for count in 0..<9 {
      #expect(store["Variable\(count)", .memoryEncryption]?.data.count == count)
    }
    #expect(store[Self.name, other]?.data == [7])
    #expect(store[Self.name, .memoryEncryption]?.data == [1])
    #expect(store["Größe 🧭", .memoryEncryption]?.data == [2])
    #expect(store["Variable0", other] == nil)
  }

  @Test("has only variables that were added and not deleted")
  func states() throws {
    for state: UInt8 in [0x7F, 0x7D, 0x3D, 0x3C, 0xFF] {
      var builder = StoreBuilder()
      builder.add("Old", state: state, data: [9, 9, 9])
      if state == 0xFF {
        // Only a header: nothing was written behind it.
        builder.set([UInt8](repeating: 0xFF, count: 11), at: StoreBuilder.firstRecord + 60)
        #expect(try UEFIVariableStore(decoding: builder.bytes).variables.isEmpty)
        continue
      }
      builder.add("New", data: [1])
      #expect(try UEFIVariableStore(decoding: builder.bytes).variables.map(\.name) == ["New"])
    }
  }

  @Test("has the old value of a variable until the new one was added")
  func replaced() throws {
    var builder = StoreBuilder()
    builder.add(Self.name, state: 0x3E, data: [0])
    #expect(try UEFIVariableStore(decoding: builder.bytes)[Self.name, .memoryEncryption]?.data == [0])
    builder.add(Self.name, data: [1])
    let store = try UEFIVariableStore(decoding: builder.bytes)
    #expect(store[Self.name, .memoryEncryption]?.data == [1])
    #expect(store.variables.count == 1)
    builder.add(Self.name, data: [1])
    #expect(builder.fault == .twice(Self.name))
  }

  @Test("may fill its area to the last byte")
  func full() throws {
    var builder = StoreBuilder()
    let room = StoreBuilder.storeStart + StoreBuilder.storeByteCount - StoreBuilder.firstRecord
    builder.add("A", data: [UInt8](repeating: 1, count: room - 64))
    #expect(try UEFIVariableStore(decoding: builder.bytes).variables.count == 1)
    // A record of the rest does not fit any more, so that what follows the store is not read.
    var longer = StoreBuilder()
    longer.add("A", data: [UInt8](repeating: 1, count: room - 63))
    #expect(
      longer.fault == .recordTooLong(at: 100, needed: UInt64(room + 1), available: room))
  }

  @Test("may be followed by anything in the file")
  func followed() throws {
    var builder = StoreBuilder()
    builder.add("A", data: [1])
    builder.set([1, 2, 3, 4], at: 4096)
    #expect(try UEFIVariableStore(decoding: builder.bytes + [5, 6, 7]).variables.count == 1)
  }

  // MARK: What is wrong

  /// A good file with bytes changed, and its header's checksum right again.
  private func fault(_ values: [UInt8], at offset: Int, fixing: Bool = true) -> UEFIVariableStoreError? {
    var builder = StoreBuilder()
    builder.add("A", data: [1, 2, 3])
    builder.set(values, at: offset)
    if fixing { builder.fixChecksum() }
    return builder.fault
  }

  @Test("is refused when the file is none, and a qcow2 image by its name")
  func otherFiles() {
    #expect(StoreBuilder.fault([]) == .tooShort(0, needed: 64))
    #expect(StoreBuilder.fault([UInt8](repeating: 0xFF, count: 8192)) == .noFirmwareVolume)
    #expect(StoreBuilder.fault([0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 3]) == .qcow2)
    #expect(fault(Array("_FVX".utf8), at: 40) == .noFirmwareVolume)
    #expect(
      fault([0x78], at: 16)
        == .otherVolume(EFIGUID(0xFFF1_2B78, 0x7696, 0x4C8B, 0xA985, 0x2747_075B_4F50)))
  }

  @Test("is refused when the volume's header is wrong")
  func volume() {
    #expect(fault([1], at: 0, fixing: false) == .badVolumeChecksum(1))
    #expect(fault([0xFF], at: 55, fixing: false) == .badVolumeChecksum(0xFD00))
    for length: UInt16 in [0, 56, 71, 65_535] {
      #expect(
        fault(StoreBuilder.little(UInt64(length), 2), at: 48, fixing: length <= 8192)
          == .badVolumeHeaderLength(Int(length)))
    }
    #expect(fault(StoreBuilder.little(8193, 8), at: 32) == .volumeTooLong(8193, file: 8192))
    #expect(fault(StoreBuilder.little(.max, 8), at: 32) == .volumeTooLong(.max, file: 8192))
    #expect(fault(StoreBuilder.little(71, 8), at: 32) == .volumeTooLong(71, file: 8192))
    #expect(fault(StoreBuilder.little(4096, 8), at: 32) == .badBlockMap(8192, volume: 4096))
    #expect(fault([1], at: 56) == .badBlockMap(4096, volume: 8192))
    // The map ends too early, and does not end at all.
    #expect(fault(StoreBuilder.little(0, 8), at: 56) == .badVolumeHeaderLength(72))
    #expect(fault([1], at: 64) == .badVolumeHeaderLength(72))
    // Blocks of nearly 2^64 bytes, twice.
    var builder = StoreBuilder()
    builder.set(StoreBuilder.little(80, 2), at: 48)
    builder.set([UInt8](repeating: 0xFF, count: 16), at: 56)
    builder.set([UInt8](repeating: 0, count: 8), at: 72)
    builder.fixChecksum()
    #expect(builder.fault == .badBlockMap(.max, volume: 8192))
  }

  @Test("is refused when the store's header is wrong")
  func store() {
    #expect(
      fault([0x16, 0x36, 0xCF, 0xDD], at: 72)
        == .otherStore(EFIGUID(0xDDCF_3616, 0x947B, 0x439A, 0xA180, 0x2E14_4EC3_7792)))
    for size: UInt64 in [0, 27, 8121, 0xFFFF_FFFF] {
      #expect(
        fault(StoreBuilder.little(size, 4), at: 88) == .badStoreSize(Int(size), available: 8120))
    }
    #expect(fault([0x5B], at: 92) == .notFormatted(0x5B))
    #expect(fault([0xFF], at: 93) == .notHealthy(0xFF))
  }

  @Test("is refused when a record is wrong")
  func records() {
    let first = StoreBuilder.firstRecord
    let available = StoreBuilder.storeByteCount - 28
    #expect(fault([0xAB], at: first) == .badRecordStart(at: first, 0x55AB))
    for state: UInt8 in [0x00, 0x2F, 0xBF, 0x37] {
      #expect(fault([state], at: first + 2) == .badRecordState(at: first, state))
    }
    for (field, other) in [(36, UInt64(3)), (40, 4)] {
      #expect(
        fault(StoreBuilder.little(0xFFFF_FFF0, 4), at: first + field)
          == .recordTooLong(at: first, needed: 60 + 0xFFFF_FFF0 + other, available: available))
    }
    #expect(fault(StoreBuilder.little(0, 4), at: first + 36) == .badName(at: first))
    #expect(fault(StoreBuilder.little(3, 4), at: first + 36) == .badName(at: first))
    #expect(fault(StoreBuilder.little(2, 4), at: first + 36) == .badName(at: first))
    // Not ended, ended too early, and half of a surrogate pair.
    #expect(fault([1], at: first + 62) == .badName(at: first))
    #expect(fault([0], at: first + 60) == .badName(at: first))
    #expect(fault([0x00, 0xD8], at: first + 60) == .badName(at: first))
  }

  @Test("is refused when something stands in the free space, which hides it")
  func freeSpace() {
    let free = StoreBuilder.firstRecord + 68
    #expect(fault([0xFF, 0xFF, 0x3F], at: free) == .freeSpaceWritten(at: free + 2))
    #expect(fault([0xFE], at: 4095) == .freeSpaceWritten(at: 4095))
    #expect(fault([0xFE], at: 4096) == nil)
    #expect(fault([0], at: free) == .badRecordStart(at: free, 0xFF00))
  }

  @Test("is refused when it is cut off, at every length")
  func truncated() {
    let whole = VirtFirmwareStore.bytes
    for count in stride(from: 0, to: whole.count, by: 7) {
      let fault = StoreBuilder.fault(Array(whole.prefix(count)))
      #expect(
        count < 64
          ? fault == .tooShort(count, needed: 64)
          : fault == .volumeTooLong(8192, file: count) || fault == .badVolumeHeaderLength(72))
    }
  }

  @Test("is refused in sentences of their own")
  func sentences() {
    let errors: [UEFIVariableStoreError] = [
      .tooShort(1, needed: 64), .qcow2, .noFirmwareVolume, .otherVolume(.memoryEncryption),
      .badVolumeHeaderLength(3), .badVolumeChecksum(3), .badBlockMap(1, volume: 2),
      .volumeTooLong(2, file: 1), .otherStore(.memoryEncryption), .badStoreSize(1, available: 2),
      .notFormatted(1), .notHealthy(1), .recordTooLong(at: 1, needed: 2, available: 1),
      .badRecordStart(at: 1, 2), .badRecordState(at: 1, 2), .badName(at: 1), .twice("A"),
      .freeSpaceWritten(at: 1),
    ]
    #expect(Set(errors.map(\.description)).count == errors.count)
  }
}
