/// Saved KVM state that no KVM could have given.
public enum KVMStateError: Error, Hashable, Sendable, CustomStringConvertible {
  case truncated(needed: Int, available: Int)
  case trailingBytes(Int)
  case malformed(String)

  public var description: String {
    switch self {
    case .truncated(let needed, let available):
      "KVM state ends too early: \(needed) bytes are needed, \(available) are there"
    case .trailingBytes(let count): "KVM state is followed by \(count) bytes that belong to nothing"
    case .malformed(let what): "KVM state cannot be true: \(what)"
    }
  }
}

/// Reads consecutive parts of saved state.
struct KVMStateReader {
  private let bytes: [UInt8]
  private var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  mutating func take(_ count: Int) throws(KVMStateError) -> [UInt8] {
    guard count >= 0, bytes.count - position >= count else {
      throw .truncated(needed: count, available: bytes.count - position)
    }
    defer { position += count }
    return [UInt8](bytes[position..<position + count])
  }

  mutating func takeInteger<Value: FixedWidthInteger>(
    _ type: Value.Type
  ) throws(KVMStateError) -> Value {
    try take(Value.bitWidth / 8).integer(at: 0, as: type)
  }

  /// A part preceded by its length in 32 bits.
  mutating func takeSized(atMost limit: Int) throws(KVMStateError) -> [UInt8] {
    let count = Int(try takeInteger(UInt32.self))
    guard count <= limit else { throw .malformed("a part of \(count) bytes is above \(limit)") }
    return try take(count)
  }

  func finish() throws(KVMStateError) {
    if position != bytes.count { throw .trailingBytes(bytes.count - position) }
  }
}

extension [UInt8] {
  mutating func appendInteger<Value: FixedWidthInteger>(_ value: Value) {
    for index in 0..<Value.bitWidth / 8 {
      append(UInt8(truncatingIfNeeded: value >> (8 * Value(index))))
    }
  }

  mutating func appendSized(_ part: [UInt8]) {
    appendInteger(UInt32(part.count))
    append(contentsOf: part)
  }
}
