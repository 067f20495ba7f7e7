import CLinux
import Glibc

/// Waiting for one or more descriptors, as in ppoll(2).
public enum Poller {
  /// What to wait for, and afterwards what was there.
  public struct Interest: Sendable {
    /// A borrowed descriptor number; negative ones are ignored.
    public var number: Int32
    public var readable: Bool
    public var writable: Bool
    /// Set by ``wait(_:timeoutNanoseconds:)``: data, an error or a hang-up is there.
    public var isReady = false

    public init(_ number: Int32, readable: Bool = true, writable: Bool = false) {
      self.number = number
      self.readable = readable
      self.writable = writable
    }
  }

  /// Waits until one of the descriptors is ready.
  ///
  /// - Parameter timeoutNanoseconds: How long at most; nil for ever.
  /// - Returns: How many are ready; 0 when the time ran out.
  public static func wait(
    _ interests: inout [Interest], timeoutNanoseconds: UInt64?
  ) throws(SystemError) -> Int {
    var entries = interests.map {
      clinux_poll_entry(
        fd: $0.number,
        events: Int16(($0.readable ? CLINUX_POLL_IN : 0) | ($0.writable ? CLINUX_POLL_OUT : 0)),
        revents: 0)
    }
    let deadline = timeoutNanoseconds.map { MonotonicClock.now() &+ $0 }
    while true {
      let left: Int64 =
        deadline.map { end in
          let now = MonotonicClock.now()
          return end > now ? Int64(end - now) : 0
        } ?? -1
      let result = unsafe entries.withUnsafeMutableBufferPointer {
        unsafe clinux_poll($0.baseAddress, UInt32($0.count), left)
      }
      if result == -EINTR { continue }
      if result < 0 { throw SystemError(.poll, code: -result) }
      for index in entries.indices { interests[index].isReady = entries[index].revents != 0 }
      return Int(result)
    }
  }

  /// Waits until one descriptor is readable; false when the time ran out.
  public static func waitReadable(
    _ number: Int32, timeoutNanoseconds: UInt64?
  ) throws(SystemError) -> Bool {
    var interests = [Interest(number)]
    return try wait(&interests, timeoutNanoseconds: timeoutNanoseconds) > 0
  }
}

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
