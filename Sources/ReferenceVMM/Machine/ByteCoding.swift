/// Appends little-endian integers.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

  mutating func append<Value: FixedWidthInteger>(_ value: Value) {
    var rest = value.littleEndian
    for _ in 0..<(Value.bitWidth / 8) {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      rest >>= 8
    }
  }

  mutating func append(contentsOf other: [UInt8]) { bytes.append(contentsOf: other) }
}

/// Reads little-endian integers and refuses to read past the end.
struct ByteReader {
  private let bytes: ArraySlice<UInt8>
  private var position: Int

  init(_ bytes: ArraySlice<UInt8>) {
    self.bytes = bytes
    position = bytes.startIndex
  }

  var remaining: Int { bytes.endIndex - position }

  mutating func take<Value: FixedWidthInteger & UnsignedInteger>(
    _ type: Value.Type
  ) throws(MachineStateError) -> Value {
    let size = Value.bitWidth / 8
    guard remaining >= size else { throw .truncated(needed: size, available: remaining) }
    var value: Value = 0
    for index in (0..<size).reversed() { value = value << 8 | Value(bytes[position + index]) }
    position += size
    return value
  }

  mutating func take(count: Int) throws(MachineStateError) -> ArraySlice<UInt8> {
    guard count >= 0, remaining >= count else {
      throw .truncated(needed: count, available: remaining)
    }
    defer { position += count }
    return bytes[position..<position + count]
  }
}
