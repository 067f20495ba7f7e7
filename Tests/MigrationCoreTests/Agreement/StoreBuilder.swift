import MigrationCore

/// Makes a variable store's file by hand, byte for byte as the specifications have it, so that a test can break
/// one thing at a time.
struct StoreBuilder {
  static let fileByteCount = 8192
  static let storeByteCount = 4096 - 72
  static let storeStart = 72
  static let firstRecord = 100

  private(set) var bytes: [UInt8]
  /// Where the next record goes.
  private(set) var end = Self.firstRecord

  /// An empty store in a volume of two blocks.
  init() {
    bytes = [UInt8](repeating: 0xFF, count: Self.fileByteCount)
    var header = [UInt8](repeating: 0, count: 16)
    // fff12b8d-7696-4c8b-a985-2747075b4f50
    header += [
      0x8D, 0x2B, 0xF1, 0xFF, 0x96, 0x76, 0x8B, 0x4C, 0xA9, 0x85, 0x27, 0x47, 0x07, 0x5B, 0x4F, 0x50,
    ]
    header += Self.little(UInt64(Self.fileByteCount), 8)
    header += Array("_FVH".utf8) + Self.little(0x4_FEFF, 4) + Self.little(72, 2) + [0, 0, 0, 0, 0, 2]
    header += Self.little(2, 4) + Self.little(4096, 4) + Self.little(0, 8)
    bytes.replaceSubrange(0..<72, with: header)
    fixChecksum()
    // aaf32c78-947b-439a-a180-2e144ec37792
    var store: [UInt8] = [
      0x78, 0x2C, 0xF3, 0xAA, 0x7B, 0x94, 0x9A, 0x43, 0xA1, 0x80, 0x2E, 0x14, 0x4E, 0xC3, 0x77, 0x92,
    ]
    store += Self.little(UInt64(Self.storeByteCount), 4) + [0x5A, 0xFE] + [0, 0] + Self.little(0, 4)
    bytes.replaceSubrange(72..<100, with: store)
  }

  /// Appends a record.
  mutating func add(
    _ name: String, _ vendor: EFIGUID = .memoryEncryption, state: UInt8 = 0x3F, attributes: UInt32 = 7,
    data: [UInt8]
  ) {
    let text = Array(name.utf16) + [0]
    var record: [UInt8] = [0xAA, 0x55, state, 0] + Self.little(UInt64(attributes), 4)
    record += [UInt8](repeating: 0, count: 8 + 16 + 4)
    record += Self.little(UInt64(2 * text.count), 4) + Self.little(UInt64(data.count), 4) + vendor.bytes
    for unit in text { record += Self.little(UInt64(unit), 2) }
    record += data
    bytes.replaceSubrange(end..<(end + record.count), with: record)
    end += (record.count + 3) / 4 * 4
  }

  /// Overwrites bytes; in the volume's header the checksum is then wrong unless it is fixed.
  mutating func set(_ values: [UInt8], at offset: Int) {
    bytes.replaceSubrange(offset..<(offset + values.count), with: values)
  }

  mutating func fixChecksum() {
    set([0, 0], at: 50)
    let headerLength = min(Int(bytes[48]) | Int(bytes[49]) << 8, bytes.count)
    var sum: UInt16 = 0
    for offset in stride(from: 0, to: headerLength - 1, by: 2) {
      sum &+= UInt16(bytes[offset]) | UInt16(bytes[offset + 1]) << 8
    }
    set(Self.little(UInt64(0 &- sum), 2), at: 50)
  }

  static func little(_ value: UInt64, _ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
  }

  /// What is wrong with the file; nothing if it is read.
  var fault: UEFIVariableStoreError? { Self.fault(bytes) }

  static func fault(_ bytes: [UInt8]) -> UEFIVariableStoreError? {
    do throws(UEFIVariableStoreError) {
      _ = try UEFIVariableStore(decoding: bytes)
      return nil
    } catch {
      return error
    }
  }
}
