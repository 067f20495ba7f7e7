import ArgumentParser

/// Bytes a second, written as a number with an optional suffix K, M or G (powers of 1024).
struct ByteRate: Hashable, ExpressibleByArgument {
  let bytesPerSecond: UInt64

  /// Nil for everything that is no positive number of bytes.
  init?(argument: String) {
    let shifts: [Character: UInt64] = ["K": 10, "M": 20, "G": 30]
    let shift = argument.last.flatMap { shifts[Character($0.uppercased())] }
    let digits = shift == nil ? argument[...] : argument.dropLast()
    guard digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = UInt64(digits), number > 0,
      number <= UInt64(Int64.max) >> (shift ?? 0)
    else { return nil }
    bytesPerSecond = number << (shift ?? 0)
  }
}
