/// Reads consecutive little-endian numbers.
struct WordReader {
  private let bytes: [UInt8]
  private(set) var position = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  private mutating func number(_ count: Int) throws(SharedRegionsError) -> UInt64 {
    guard bytes.count - position >= count else { throw .truncated(bytes.count) }
    var value: UInt64 = 0
    for index in (0..<count).reversed() { value = value << 8 | UInt64(bytes[position + index]) }
    position += count
    return value
  }

  mutating func halfWord() throws(SharedRegionsError) -> UInt32 { UInt32(try number(4)) }
  mutating func word() throws(SharedRegionsError) -> UInt64 { try number(8) }

  var rest: [UInt8] { Array(bytes[position...]) }
}

extension [UInt8] {
  mutating func appendHalfWord(_ value: UInt32) {
    for index in 0..<4 { append(UInt8(truncatingIfNeeded: value >> UInt32(8 * index))) }
  }

  mutating func appendWord(_ value: UInt64) {
    for index in 0..<8 { append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }
}
