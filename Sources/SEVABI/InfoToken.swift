import Synchronization

/// The secret 64-bit token that LOCAL_SEND makes and LOCAL_RECEIVE uses up: a baton.
///
/// Whoever knows it can take the guest. So it has one owner, cannot be copied or printed (a noncopyable value
/// cannot be interpolated, reflected or logged), is compared in constant time, and its memory is overwritten
/// when the owner lets it go. It leaves the value only by the explicit calls below; the caller wipes what it
/// took out.
///
/// Zero means "no token" in the kernel and is never a value of this type.
public struct InfoToken: ~Copyable, Sendable {
  /// The width of a token in the kernel's structs.
  public static let byteCount = 8

  // On the heap, so that moving the value moves a reference and leaves no copy of the secret behind.
  private let cell: Cell

  private final class Cell: Sendable {
    let bits: Atomic<UInt64>

    init(_ value: UInt64) {
      bits = Atomic(value)
    }

    deinit {
      // An atomic store is not dropped as dead, unlike a plain one just before the memory is freed.
      bits.store(0, ordering: .releasing)
    }
  }

  /// Takes a token over; nothing for 0, with which a kernel says that there is none.
  public init?(adopting bits: UInt64) {
    guard bits != 0 else { return nil }
    cell = Cell(bits)
  }

  /// Takes the token over from a buffer and wipes it there; nothing if those bytes are 0.
  ///
  /// - Precondition: `offset + byteCount` is inside the buffer.
  public init?(takingFrom buffer: inout [UInt8], at offset: Int) {
    let bits = buffer.span.uint64(at: offset)
    for index in offset..<(offset + Self.byteCount) { buffer[index] = 0 }
    self.init(adopting: bits)
  }

  /// Writes the token into a buffer, little-endian. The caller wipes the buffer after use.
  ///
  /// - Precondition: `offset + byteCount` is inside the buffer.
  public borrowing func write(into buffer: inout [UInt8], at offset: Int) {
    var span = buffer.mutableSpan
    write(into: &span, at: offset)
  }

  /// Writes the token into a buffer, little-endian. The caller wipes the buffer after use.
  ///
  /// - Precondition: `offset + byteCount` is inside the buffer.
  public borrowing func write(into buffer: inout MutableSpan<UInt8>, at offset: Int) {
    buffer.store(cell.bits.load(ordering: .relaxed), at: offset)
  }

  /// Tells whether two tokens are the same, in a time that does not depend on how much of them is.
  public borrowing func isEqual(to other: borrowing InfoToken) -> Bool {
    // One exclusive-or of whole words: no early exit that would tell how many bytes agree.
    (cell.bits.load(ordering: .relaxed) ^ other.cell.bits.load(ordering: .relaxed)) == 0
  }
}
