/// A struct of the Linux UAPI with a fixed layout, encoded and decoded byte for byte.
///
/// Holes and reserved words that a type does not name are written as zero and ignored when read, as the
/// kernel does.
public protocol KernelStructure: Hashable, Sendable {
  /// The struct's `sizeof` on x86-64, in bytes.
  static var byteCount: Int { get }

  /// Reads the struct from the first ``byteCount`` bytes of `bytes`, which must be there.
  init(decoding bytes: Span<UInt8>)

  /// Writes every byte of the struct, holes as zero, to the first ``byteCount`` bytes of `bytes`.
  func encode(into bytes: inout MutableSpan<UInt8>)
}

extension KernelStructure {
  /// The struct as ``byteCount`` bytes.
  public var bytes: [UInt8] {
    var bytes = [UInt8](repeating: 0, count: Self.byteCount)
    var span = bytes.mutableSpan
    encode(into: &span)
    return bytes
  }

  /// Reads the struct from `bytes`, or nothing if they are not exactly ``byteCount`` long.
  public init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.init(decoding: bytes.span)
  }
}

/// Zeroes the first `count` bytes, so that holes never carry what was there before.
func clear(_ bytes: inout MutableSpan<UInt8>, count: Int) {
  for index in 0..<count { bytes[index] = 0 }
}
