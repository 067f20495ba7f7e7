import CLinux
import Synchronization

/// A 32-bit word that threads wait on, as in futex(2).
@safe public final class FutexWord: @unchecked Sendable {
  // SAFETY: the word lives at a fixed address from init to deinit and is only accessed atomically.
  private let word: UnsafeMutablePointer<UInt32>

  public init(_ value: UInt32 = 0) {
    unsafe word = .allocate(capacity: 1)
    unsafe word.initialize(to: value)
  }

  deinit { unsafe word.deallocate() }

  public var value: UInt32 {
    get { unsafe clinux_load32(word) }
    set { unsafe clinux_store32(word, newValue) }
  }

  /// Sets the word and returns what it was, in one step.
  public func exchange(_ value: UInt32) -> UInt32 { unsafe clinux_exchange32(word, value) }

  /// Waits while the word is `expected`; may also return for no reason, so check again.
  ///
  /// - Parameter timeoutNanoseconds: How long at most; nil for ever.
  public func wait(while expected: UInt32, timeoutNanoseconds: UInt64? = nil) {
    unsafe _ = clinux_futex_wait(word, expected, timeoutNanoseconds.map { Int64($0) } ?? -1)
  }

  /// Wakes every thread that waits.
  public func wakeAll() { unsafe _ = clinux_futex_wake(word, Int32.max) }
}
