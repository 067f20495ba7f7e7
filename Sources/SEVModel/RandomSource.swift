/// Where the model takes its random numbers from: tokens, keys, nonces.
///
/// Injected, so that a test can force token collisions and fix keys.
public protocol RandomSource: Sendable {
  /// 64 random bits.
  mutating func word() -> UInt64
}

extension RandomSource {
  mutating func bytes(_ count: Int) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let word = word()
      for index in 0..<min(8, count - bytes.count) {
        bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(8 * index)))
      }
    }
    return bytes
  }
}

/// The operating system's random numbers.
public struct SystemRandomSource: RandomSource {
  public init() {}

  public mutating func word() -> UInt64 {
    UInt64.random(in: .min ... .max)
  }
}
