/// Reads decisions from a fuzzer's input; when the input is used up, every further answer is zero.
public struct ByteSource: Sendable {
  private let bytes: [UInt8]
  private var next = 0

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  public var isEmpty: Bool { next >= bytes.count }

  public mutating func byte() -> UInt8 {
    guard next < bytes.count else { return 0 }
    defer { next += 1 }
    return bytes[next]
  }

  /// A number below `bound`, which is 1 to 256.
  public mutating func below(_ bound: Int) -> Int { Int(byte()) % bound }

  public mutating func flag() -> Bool { byte() & 1 == 1 }

  public mutating func word() -> UInt64 {
    var value: UInt64 = 0
    for shift in 0..<8 { value |= UInt64(byte()) << UInt64(8 * shift) }
    return value
  }

  /// Up to `count` of the bytes that are left.
  public mutating func take(_ count: Int) -> [UInt8] {
    let end = min(bytes.count, next + max(0, count))
    defer { next = end }
    return Array(bytes[next..<end])
  }

  public mutating func rest() -> [UInt8] { take(bytes.count - next) }
}
