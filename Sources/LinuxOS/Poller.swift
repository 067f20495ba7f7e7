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
