/// A size in bytes, written as a number with an optional suffix K, M or G (powers of 1024).
public struct ByteCount: Hashable, Sendable, CustomStringConvertible {
  public let bytes: Int

  public init(bytes: Int) { self.bytes = bytes }

  /// Nil for everything that is no positive number of bytes.
  public init?(text: String) {
    let shifts: [Character: Int] = ["K": 10, "M": 20, "G": 30]
    let shift = text.last.flatMap { shifts[Character($0.uppercased())] }
    let digits = shift == nil ? text[...] : text.dropLast()
    guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(digits), number > 0,
      number <= Int.max >> (shift ?? 0)
    else { return nil }
    bytes = number << (shift ?? 0)
  }

  public var description: String { bytes % (1 << 20) == 0 ? "\(bytes >> 20)M" : "\(bytes)" }
}
