/// The contents of a state memfd: a fixed header, the baton, and the VMM's device state.
///
/// | offset | width | field |
/// | --- | --- | --- |
/// | 0 | 4 | magic, the bytes `BSTA` |
/// | 4 | 2 | layout version, 1 |
/// | 6 | 2 | way |
/// | 8 | 8 | handoff number |
/// | 16 | 8 | baton: the `info_token` for way `token`, else zero |
/// | 24 | 4 | bytes of device state |
/// | 28 | 4 | CRC-32C of the device state |
/// | 32 | … | device state |
///
/// The memfd is sealed with ``headerByteCount`` + state bytes before it is sent, so whoever holds it
/// knows that it cannot change. It is the only place where a baton is ever kept.
public enum StateEnvelope {
  public static let headerByteCount = 32
  static let magic: UInt32 = 0x4154_5342
  /// Where the 8 bytes of the baton are.
  public static let batonOffset = 16
  /// Most bytes of device state, 16 MiB.
  public static let maximumState = 16_777_216

  /// Everything in the header but the baton.
  public struct Header: Hashable, Sendable {
    public var way: Way
    public var handoff: UInt64
    public var stateByteCount: Int
    public var checksum: UInt32
  }

  /// Header (its baton zero) and state as one run of bytes.
  public static func encode(way: Way, handoff: UInt64, state: [UInt8]) -> [UInt8] {
    var writer = ByteWriter(capacity: headerByteCount + state.count)
    writer.write(magic)
    writer.write(UInt16(1))
    writer.write(UInt16(way.rawValue))
    writer.write(handoff)
    writer.write(UInt64(0))
    writer.write(UInt32(state.count))
    writer.write(CRC32C.checksum(state))
    writer.write(raw: state)
    return writer.bytes
  }

  /// Reads and checks the header.
  public static func decodeHeader(_ bytes: [UInt8]) throws(WireError) -> Header {
    var reader = ByteReader(bytes)
    let found = try reader.read(UInt32.self, "state magic")
    guard found == magic else { throw .badMagic(found) }
    let version = try reader.read(UInt16.self, "state layout version")
    guard version == 1 else { throw .wrongVersion(version) }
    let wayNumber = try reader.read(UInt16.self, "way")
    guard wayNumber <= 255, let way = Way(rawValue: UInt8(wayNumber)) else {
      throw .badValue(field: "way")
    }
    let handoff = try reader.read(UInt64.self, "handoff")
    _ = try reader.read(UInt64.self, "baton")
    let count = try reader.read(UInt32.self, "state length")
    guard count <= UInt32(maximumState) else { throw .badValue(field: "state length") }
    let checksum = try reader.read(UInt32.self, "state checksum")
    return Header(way: way, handoff: handoff, stateByteCount: Int(count), checksum: checksum)
  }
}
