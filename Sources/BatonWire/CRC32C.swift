/// CRC-32C (Castagnoli), as in RFC 3720 appendix B.4: reflected polynomial 0x82F63B78.
///
/// It finds damage, not malice; a sealed memfd cannot change, so no stronger digest is needed.
public enum CRC32C {
  private static let tables: [[UInt32]] = {
    var tables = [[UInt32]](repeating: [UInt32](repeating: 0, count: 256), count: 8)
    for byte in 0..<256 {
      var value = UInt32(byte)
      for _ in 0..<8 { value = (value >> 1) ^ (value & 1 == 1 ? 0x82F6_3B78 : 0) }
      tables[0][byte] = value
    }
    for slice in 1..<8 {
      for byte in 0..<256 {
        let before = tables[slice - 1][byte]
        tables[slice][byte] = (before >> 8) ^ tables[0][Int(before & 0xFF)]
      }
    }
    return tables
  }()

  /// The checksum of `bytes`, eight bytes a step.
  public static func checksum(_ bytes: [UInt8]) -> UInt32 {
    let tables = Self.tables
    var crc = ~UInt32(0)
    var index = 0
    while index + 8 <= bytes.count {
      let low =
        crc
        ^ (UInt32(bytes[index]) | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2]) << 16
          | UInt32(bytes[index + 3]) << 24)
      crc =
        tables[7][Int(low & 0xFF)] ^ tables[6][Int((low >> 8) & 0xFF)]
        ^ tables[5][Int((low >> 16) & 0xFF)] ^ tables[4][Int(low >> 24)]
        ^ tables[3][Int(bytes[index + 4])] ^ tables[2][Int(bytes[index + 5])]
        ^ tables[1][Int(bytes[index + 6])] ^ tables[0][Int(bytes[index + 7])]
      index += 8
    }
    while index < bytes.count {
      crc = (crc >> 8) ^ tables[0][Int((crc ^ UInt32(bytes[index])) & 0xFF)]
      index += 1
    }
    return ~crc
  }
}
