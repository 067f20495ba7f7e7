import SEVABI

/// The checksum by which the firmware knows a page of registers (VMSA) that it has set up.
///
/// Which one the hardware has is not public; the model has CRC-32C (polynomial 0x1EDC6F41) over the bytes
/// before offset 0xFC0, little-endian at that offset, with zeros behind.
enum RegisterChecksum {
  private static let offset = 0xFC0
  /// The polynomial with its bits in reverse.
  private static let polynomial: UInt32 = 0x82F6_3B78

  private static let table: [UInt32] = (0..<256).map { byte in
    (0..<8).reduce(UInt32(byte)) { value, _ in
      value & 1 == 0 ? value >> 1 : value >> 1 ^ polynomial
    }
  }

  private static func checksum(of page: [UInt8]) -> UInt32 {
    ~page[..<offset].reduce(~0) { value, byte in
      value >> 8 ^ table[Int(UInt8(truncatingIfNeeded: value) ^ byte)]
    }
  }

  /// The page with its checksum, and nothing else, in the firmware's area.
  static func sealed(_ page: [UInt8]) -> [UInt8] {
    page[..<offset] + littleEndianBytes(checksum(of: page))
      + [UInt8](repeating: 0, count: page.count - offset - 4)
  }

  /// Whether a whole page has the checksum that belongs to it.
  static func isIntact(_ page: [UInt8]) -> Bool {
    page.count == Int(Firmware.Length.registers) && page.span.uint32(at: offset) == checksum(of: page)
  }
}
