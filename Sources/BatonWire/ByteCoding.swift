/// Writes little-endian fields one behind the other.
public struct ByteWriter: Sendable {
  public private(set) var bytes: [UInt8] = []

  public init(capacity: Int = 256) { bytes.reserveCapacity(capacity) }

  public mutating func write<Value: FixedWidthInteger>(_ value: Value) {
    var rest = value.littleEndian
    for _ in 0..<(Value.bitWidth / 8) {
      bytes.append(UInt8(truncatingIfNeeded: rest))
      if Value.bitWidth > 8 { rest >>= 8 }
    }
  }

  public mutating func write(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

  /// A u16 byte count and that many UTF-8 bytes.
  public mutating func write(_ text: String) {
    let utf8 = Array(text.utf8.prefix(Int(UInt16.max)))
    write(UInt16(utf8.count))
    bytes.append(contentsOf: utf8)
  }

  /// The same, cut at a character's end to what its reader takes.
  public mutating func write(_ text: String, maximum: Int) {
    guard text.utf8.count > maximum else {
      write(text)
      return
    }
    var rest = text[...]
    while rest.utf8.count > maximum { rest.removeLast() }
    write(String(rest))
  }

  /// A u32 byte count and the bytes.
  public mutating func write(blob: [UInt8]) {
    write(UInt32(blob.count))
    bytes.append(contentsOf: blob)
  }

  public mutating func write(raw: [UInt8]) { bytes.append(contentsOf: raw) }
}

/// Reads little-endian fields one behind the other and never past the end.
public struct ByteReader: Sendable {
  private let bytes: [UInt8]
  private var position: Int
  private let end: Int

  public init(_ bytes: [UInt8]) {
    self.bytes = bytes
    position = 0
    end = bytes.count
  }

  /// How many bytes are left.
  public var remaining: Int { end - position }

  public mutating func read<Value: FixedWidthInteger>(
    _ type: Value.Type, _ field: String
  ) throws(WireError) -> Value {
    let width = Value.bitWidth / 8
    guard remaining >= width else { throw .truncated(field: field) }
    var value: Value = 0
    for index in 0..<width {
      value |= Value(truncatingIfNeeded: bytes[position + index]) << (8 * index)
    }
    position += width
    return value
  }

  public mutating func readFlag(_ field: String) throws(WireError) -> Bool {
    switch try read(UInt8.self, field) {
    case 0: return false
    case 1: return true
    default: throw .badValue(field: field)
    }
  }

  /// A text of at most `maximum` bytes; bytes that are no UTF-8 are refused.
  public mutating func readText(_ field: String, maximum: Int) throws(WireError) -> String {
    let count = Int(try read(UInt16.self, field))
    guard count <= maximum else { throw .badValue(field: field) }
    guard remaining >= count else { throw .truncated(field: field) }
    guard let text = String(validating: bytes[position..<(position + count)], as: UTF8.self) else {
      throw .badValue(field: field)
    }
    position += count
    return text
  }

  public mutating func readBlob(_ field: String, maximum: Int) throws(WireError) -> [UInt8] {
    let count = Int(try read(UInt32.self, field))
    guard count <= maximum else { throw .badValue(field: field) }
    return try readRaw(count, field)
  }

  public mutating func readRaw(_ count: Int, _ field: String) throws(WireError) -> [UInt8] {
    guard remaining >= count else { throw .truncated(field: field) }
    let slice = Array(bytes[position..<(position + count)])
    position += count
    return slice
  }

  /// Refuses bytes behind the last field.
  public func finish() throws(WireError) {
    guard remaining == 0 else { throw .trailingBytes(remaining) }
  }
}
