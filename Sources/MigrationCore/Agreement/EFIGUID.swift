/// A GUID as UEFI stores it: the first three parts little-endian, the rest as it is written.
public struct EFIGUID: Hashable, Sendable, CustomStringConvertible {
  public static let byteCount = 16

  /// In the order of a file.
  public let bytes: [UInt8]

  /// Takes 16 bytes; nothing for another number.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  /// The parts as they are written: `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
  public init(_ first: UInt32, _ second: UInt16, _ third: UInt16, _ fourth: UInt16, _ fifth: UInt64) {
    var bytes: [UInt8] = []
    for shift in 0..<4 { bytes.append(UInt8(truncatingIfNeeded: first >> UInt32(8 * shift))) }
    for shift in 0..<2 { bytes.append(UInt8(truncatingIfNeeded: second >> UInt16(8 * shift))) }
    for shift in 0..<2 { bytes.append(UInt8(truncatingIfNeeded: third >> UInt16(8 * shift))) }
    for shift in (0..<2).reversed() { bytes.append(UInt8(truncatingIfNeeded: fourth >> UInt16(8 * shift))) }
    for shift in (0..<6).reversed() { bytes.append(UInt8(truncatingIfNeeded: fifth >> UInt64(8 * shift))) }
    self.bytes = bytes
  }

  public var description: String {
    let order = [3, 2, 1, 0, -1, 5, 4, -1, 7, 6, -1, 8, 9, -1, 10, 11, 12, 13, 14, 15]
    return order.map { index in
      guard index >= 0 else { return "-" }
      let byte = bytes[index]
      return (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }

  /// `gEfiSystemNvDataFvGuid`: a firmware volume with variables.
  static let variableVolume = EFIGUID(0xFFF1_2B8D, 0x7696, 0x4C8B, 0xA985, 0x2747_075B_4F50)
  /// `gEfiAuthenticatedVariableGuid`: a store of variables with time stamps.
  static let authenticatedStore = EFIGUID(0xAAF3_2C78, 0x947B, 0x439A, 0xA180, 0x2E14_4EC3_7792)
  /// The vendor of ``UEFIVariable/liveMigration``'s variable, from the OVMF series that sets it.
  public static let memoryEncryption = EFIGUID(0x0CF2_9B71, 0x9E51, 0x433A, 0xA3B7, 0x81F3_AB16_B875)
}
