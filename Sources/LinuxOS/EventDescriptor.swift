import CLinux

/// A counter that wakes a poller, as in eventfd(2).
public struct EventDescriptor: ~Copyable, Sendable {
  public let descriptor: OwnedDescriptor

  public init() throws(SystemError) {
    descriptor = OwnedDescriptor(adopting: Int32(try checked(.eventfd) { Int(clinux_eventfd()) }))
  }

  /// Makes the descriptor readable. Safe from every thread.
  public borrowing func signal() {
    _ = try? descriptor.write([1, 0, 0, 0, 0, 0, 0, 0])
  }

  /// Makes the descriptor unreadable again.
  public borrowing func clear() { _ = try? descriptor.read(maximum: 8) }
}
