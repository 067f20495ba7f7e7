import Crypto

/// The key with which a migration's batches are sealed: 32 random bytes that the source makes and that travel
/// in the preamble.
///
/// It keeps batches whole, in order and in their migration; it hides nothing, and it is worth nothing after the
/// stream that it came with. It prints as `a batch key`.
public struct BatchKey: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
  public static let byteCount = 32

  let bytes: [UInt8]

  /// A new key.
  public init() { bytes = randomBytes(Self.byteCount) }

  /// Nil when there are not exactly ``byteCount`` bytes.
  public init?(bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    self.bytes = bytes
  }

  /// Compares without saying where two differ.
  public static func == (a: Self, b: Self) -> Bool {
    SymmetricKey(data: a.bytes) == SymmetricKey(data: b.bytes)
  }

  public var description: String { "a batch key" }
  public var customMirror: Mirror { Mirror(self, children: []) }
}
