import BatonWire

/// A part of the device state. Chunks come in order, without gap, and all announce the same total.
public struct StateChunk: Hashable, Sendable {
  /// Most bytes of one chunk, 1 MiB.
  public static let maximumBytes = 1 << 20
  /// Most bytes of a whole state: what a local handoff carries, and a page for a VMM's own header.
  public static let maximumTotal = UInt64(StateEnvelope.maximumState) + 4_096

  /// Where ``bytes`` begin in the state.
  public var offset: UInt64
  /// Bytes of the whole state.
  public var total: UInt64
  public var bytes: [UInt8]

  public init(offset: UInt64, total: UInt64, bytes: [UInt8]) {
    self.offset = offset
    self.total = total
    self.bytes = bytes
  }

  /// The whole state in chunks; an empty one for an empty state.
  public static func cut(_ state: [UInt8]) -> [StateChunk] {
    stride(from: 0, to: max(1, state.count), by: maximumBytes).map { offset in
      StateChunk(
        offset: UInt64(offset), total: UInt64(state.count),
        bytes: Array(state[offset..<min(state.count, offset + maximumBytes)]))
    }
  }

  func encode(into writer: inout ByteWriter) {
    writer.write(offset)
    writer.write(total)
    writer.write(raw: bytes)
  }

  init(decoding reader: inout ByteReader) throws(WireError) {
    offset = try reader.read(UInt64.self, "state offset")
    total = try reader.read(UInt64.self, "state length")
    bytes = try reader.readRaw(reader.remaining, "state")
  }
}
