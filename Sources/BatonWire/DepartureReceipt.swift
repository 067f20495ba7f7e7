import Synchronization

/// What opens an arrival on another host: 32 random bytes that the source's registry makes with the migration's
/// id, and that nobody may have before it gave the guest up.
///
/// A secret until then. It prints as `a departure receipt`, compares without saying where two differ, and is overwritten
/// when the last copy of the value is gone; arrays made of ``bytes`` are for their holder to wipe.
public struct DepartureReceipt: Sendable, Hashable, CustomStringConvertible, CustomDebugStringConvertible,
  CustomReflectable
{
  public static let byteCount = 32

  private let words: Words

  /// Nil when there are not exactly ``byteCount`` bytes.
  public init?(_ bytes: [UInt8]) {
    guard bytes.count == Self.byteCount else { return nil }
    func word(_ index: Int) -> UInt64 {
      (0..<8).reduce(0) { $0 | UInt64(bytes[8 * index + $1]) << UInt64(8 * $1) }
    }
    words = Words(word(0), word(1), word(2), word(3))
  }

  /// Nil when `text` is not 64 hexadecimal digits.
  public init?(hexadecimal text: String) {
    guard let bytes = Hexadecimal.bytes(of: text) else { return nil }
    self.init(bytes)
  }

  /// The secret itself; wipe the array when it was used.
  public var bytes: [UInt8] {
    words.all.flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) } }
  }

  /// The secret itself as 64 small digits, for the line that brings it to the other host. Never to be logged.
  public var hexadecimal: String { Hexadecimal.text(of: bytes) }

  public static func == (a: Self, b: Self) -> Bool {
    zip(a.words.all, b.words.all).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
  }

  public func hash(into hasher: inout Hasher) {
    for word in words.all { hasher.combine(word) }
  }

  public var description: String { "a departure receipt" }
  public var debugDescription: String { description }
  public var customMirror: Mirror { Mirror(self, children: []) }

  /// Shared by all copies of a receipt, so that there is one place to overwrite.
  private final class Words: Sendable {
    private let first: Atomic<UInt64>
    private let second: Atomic<UInt64>
    private let third: Atomic<UInt64>
    private let fourth: Atomic<UInt64>

    init(_ first: UInt64, _ second: UInt64, _ third: UInt64, _ fourth: UInt64) {
      self.first = Atomic(first)
      self.second = Atomic(second)
      self.third = Atomic(third)
      self.fourth = Atomic(fourth)
    }

    var all: [UInt64] {
      [
        first.load(ordering: .relaxed), second.load(ordering: .relaxed), third.load(ordering: .relaxed),
        fourth.load(ordering: .relaxed),
      ]
    }

    deinit {
      // Atomic stores are not left out, though nobody reads them.
      first.store(0, ordering: .releasing)
      second.store(0, ordering: .releasing)
      third.store(0, ordering: .releasing)
      fourth.store(0, ordering: .releasing)
    }
  }
}
