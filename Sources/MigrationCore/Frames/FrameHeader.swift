import BatonWire
import SEVABI

/// The 8 bytes in front of every frame, little-endian. Their layout is the same in every version.
///
/// | offset | width | field |
/// | --- | --- | --- |
/// | 0 | 2 | type |
/// | 2 | 2 | flags, zero |
/// | 4 | 4 | payload bytes that follow |
struct FrameHeader: Hashable, Sendable {
  static let byteCount = 8

  let type: FrameType
  let payloadByteCount: Int

  /// The frame, this header included.
  var frameByteCount: Int { Self.byteCount + payloadByteCount }

  /// Reads and checks the 8 bytes at `offset`, which must be there.
  init(decoding bytes: Span<UInt8>, at offset: Int) throws(StreamFault) {
    let word = bytes.uint32(at: offset)
    let number = UInt16(truncatingIfNeeded: word)
    guard let type = FrameType(rawValue: number) else { throw .unknownFrame(number) }
    let flags = UInt16(truncatingIfNeeded: word >> 16)
    guard flags == 0 else { throw .reservedFlags(type, flags) }
    let length = bytes.uint32(at: offset + 4)
    guard length <= UInt32(type.maximumPayload) else { throw .frameTooLong(type, length) }
    self.type = type
    payloadByteCount = Int(length)
  }

  /// A whole frame around a payload.
  static func frame(_ type: FrameType, _ payload: (inout ByteWriter) -> Void) -> [UInt8] {
    var writer = ByteWriter(capacity: 64)
    payload(&writer)
    let length = writer.bytes.count
    precondition(length <= type.maximumPayload, "a \(type) frame is longer than its limit")
    var frame = ByteWriter(capacity: byteCount + length)
    frame.write(type.rawValue)
    frame.write(UInt16(0))
    frame.write(UInt32(length))
    frame.write(raw: writer.bytes)
    return frame.bytes
  }
}
