/// The 24 bytes in front of every record. Their layout is the same in every version.
///
/// | offset | width | field |
/// | --- | --- | --- |
/// | 0 | 4 | magic, the bytes `BATN` |
/// | 4 | 2 | version |
/// | 6 | 2 | type |
/// | 8 | 4 | sequence: counts the messages of one sender on one connection, from 1 |
/// | 12 | 4 | payload bytes in this record, at most 65,536 |
/// | 16 | 2 | descriptors in this record, at most 253 |
/// | 18 | 2 | flags: bit 0 = the message goes on in the next record |
/// | 20 | 4 | zero |
public struct RecordHeader: Hashable, Sendable {
  public static let byteCount = 24
  public static let magic: UInt32 = 0x4E54_4142
  /// Most payload bytes in one record.
  public static let maximumPayload = 65_536
  /// Most descriptors in one record (`SCM_MAX_FD`).
  public static let maximumDescriptors = 253

  public var version: UInt16
  public var type: UInt16
  public var sequence: UInt32
  public var payloadByteCount: Int
  public var descriptorCount: Int
  public var isContinued: Bool

  public init(
    version: UInt16, type: UInt16, sequence: UInt32, payloadByteCount: Int, descriptorCount: Int,
    isContinued: Bool
  ) {
    self.version = version
    self.type = type
    self.sequence = sequence
    self.payloadByteCount = payloadByteCount
    self.descriptorCount = descriptorCount
    self.isContinued = isContinued
  }

  /// Appends the 24 bytes.
  public func encode(into writer: inout ByteWriter) {
    writer.write(Self.magic)
    writer.write(version)
    writer.write(type)
    writer.write(sequence)
    writer.write(UInt32(payloadByteCount))
    writer.write(UInt16(descriptorCount))
    writer.write(UInt16(isContinued ? 1 : 0))
    writer.write(UInt32(0))
  }

  /// Reads and checks the 24 bytes; the caller compares the counts with what really came.
  public init(decoding reader: inout ByteReader) throws(WireError) {
    let magic = try reader.read(UInt32.self, "magic")
    guard magic == Self.magic else { throw .badMagic(magic) }
    version = try reader.read(UInt16.self, "version")
    type = try reader.read(UInt16.self, "type")
    sequence = try reader.read(UInt32.self, "sequence")
    let payload = try reader.read(UInt32.self, "length")
    guard payload <= UInt32(Self.maximumPayload) else { throw .payloadTooLong(Int(payload)) }
    payloadByteCount = Int(payload)
    descriptorCount = Int(try reader.read(UInt16.self, "descriptor count"))
    guard descriptorCount <= Self.maximumDescriptors else {
      throw .tooManyDescriptors(descriptorCount)
    }
    let flags = try reader.read(UInt16.self, "flags")
    guard flags <= 1 else { throw .badValue(field: "flags") }
    isContinued = flags == 1
    guard try reader.read(UInt32.self, "reserved") == 0 else { throw .badValue(field: "reserved") }
  }
}
