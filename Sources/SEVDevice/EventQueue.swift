import CLinux
package import LinuxOS

/// Waiting for many descriptors at a cost that does not grow with their number, as in epoll(7).
package struct EventQueue: ~Copyable {
  package struct Event: Sendable {
    /// What was given to ``watch(_:forData:key:)``.
    package let key: UInt64
    package let isReadable: Bool
    package let isHungUp: Bool
  }

  package let descriptor: OwnedDescriptor

  package init() throws(SystemError) {
    let number = sev_queue_create()
    guard number >= 0 else { throw SystemError(.epoll, code: -number) }
    descriptor = OwnedDescriptor(adopting: number)
  }

  /// Reports hang-ups of a descriptor from now on, and data if wanted. Closing it ends that.
  package borrowing func watch(_ number: Int32, forData: Bool, key: UInt64) throws(SystemError) {
    let status = sev_queue_add(descriptor.number, number, forData ? 1 : 0, key)
    guard status >= 0 else { throw SystemError(.epoll, code: -status) }
  }

  /// Reports nothing more of a descriptor that stays open.
  package borrowing func forget(_ number: Int32) {
    // It fails only for a descriptor that was never watched.
    _ = sev_queue_remove(descriptor.number, number)
  }

  /// What is there now, at most 64 events.
  ///
  /// - Parameter waits: Whether to wait for the first one, however long it takes.
  package borrowing func events(waits: Bool) throws(SystemError) -> [Event] {
    let queue = descriptor.number
    return unsafe try withUnsafeTemporaryAllocation(of: sev_event.self, capacity: 64) {
      raw throws(SystemError) in
      // SAFETY: the buffer has room for the 64 events that are asked for, and only those that were written
      // are read.
      let count = unsafe sev_queue_wait(queue, raw.baseAddress, 64, waits ? -1 : 0)
      guard count >= 0 else { throw SystemError(.epoll, code: -count) }
      var events: [Event] = []
      for index in 0..<Int(count) {
        let event = unsafe raw[index]
        events.append(
          Event(key: event.key, isReadable: event.readable != 0, isHungUp: event.hung_up != 0))
      }
      return events
    }
  }
}
