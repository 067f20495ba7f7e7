import CLinux

/// Signals as readable events, as in signalfd(2).
public struct SignalDescriptor: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  /// Blocks the signals in this thread (and in those it starts later) and makes them readable.
  /// Call it before any other thread exists.
  public init(_ signals: [Int32]) throws(SystemError) {
    _ = try checked(.sigprocmask) {
      unsafe signals.withUnsafeBufferPointer {
        unsafe Int(clinux_block_signals($0.baseAddress, Int32($0.count)))
      }
    }
    descriptor = OwnedDescriptor(
      adopting: Int32(
        try checked(.signalfd) {
          unsafe signals.withUnsafeBufferPointer {
            unsafe Int(clinux_signalfd($0.baseAddress, Int32($0.count)))
          }
        }))
  }

  /// The next signal that came, or nil when none waits.
  public borrowing func next() -> Int32? {
    let signal = clinux_signalfd_read(descriptor.number)
    return signal > 0 ? signal : nil
  }
}
