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
    /// Set by ``wait(_:timeoutNanoseconds:awakeUntil:)``: data, an error or a hang-up is there.
    public var isReady = false

    public init(_ number: Int32, readable: Bool = true, writable: Bool = false) {
      self.number = number
      self.readable = readable
      self.writable = writable
    }
  }

  /// Until when a thread stays awake for a guest that begins to stand still now: a pause that takes longer than 10 ms is
  /// made of pages or of the way, and waking up does not matter.
  public static func awakeForPause() -> UInt64 { MonotonicClock.now() + 10_000_000 }

  /// About what a sleep costs. Who looks for longer than that keeps the processor from the very process it waits for:
  /// sched_yield(2) does not let that one go first where it has had more than its share (seen with Linux 6.18),
  /// which made one pause in four several milliseconds longer.
  private static let wakeUpNanoseconds: UInt64 = 50_000

  /// Waits until one of the descriptors is ready.
  ///
  /// - Parameters:
  ///   - timeoutNanoseconds: How long at most; nil for ever.
  ///   - awakeUntil: By `CLOCK_MONOTONIC`, in nanoseconds: before that it looks again and again for 50 microseconds
  ///     before it sleeps. For the few milliseconds in which a guest stands still: to fall asleep and be woken up takes
  ///     about as long, at every process that the guest's way leads through.
  /// - Returns: How many are ready; 0 when the time ran out.
  public static func wait(
    _ interests: inout [Interest], timeoutNanoseconds: UInt64?, awakeUntil: UInt64 = 0
  ) throws(SystemError) -> Int {
    var entries = interests.map {
      clinux_poll_entry(
        fd: $0.number,
        events: Int16(($0.readable ? CLINUX_POLL_IN : 0) | ($0.writable ? CLINUX_POLL_OUT : 0)),
        revents: 0)
    }
    let began = MonotonicClock.now()
    let deadline = timeoutNanoseconds.map { began &+ $0 }
    let asleepFrom = min(awakeUntil, began + wakeUpNanoseconds, deadline ?? .max)
    while true {
      let now = MonotonicClock.now()
      let isAwake = now < asleepFrom
      let left: Int64 = isAwake ? 0 : deadline.map { $0 > now ? Int64($0 - now) : 0 } ?? -1
      let result = unsafe entries.withUnsafeMutableBufferPointer {
        unsafe clinux_poll($0.baseAddress, UInt32($0.count), left)
      }
      if result == -EINTR { continue }
      if result < 0 { throw SystemError(.poll, code: -result) }
      if result == 0, isAwake { continue }
      for index in entries.indices { interests[index].isReady = entries[index].revents != 0 }
      return Int(result)
    }
  }

  /// Waits until one descriptor is readable; false when the time ran out.
  ///
  /// - Parameter awakeUntil: As with ``wait(_:timeoutNanoseconds:awakeUntil:)``.
  public static func waitReadable(
    _ number: Int32, timeoutNanoseconds: UInt64?, awakeUntil: UInt64 = 0
  ) throws(SystemError) -> Bool {
    var interests = [Interest(number)]
    return try wait(&interests, timeoutNanoseconds: timeoutNanoseconds, awakeUntil: awakeUntil) > 0
  }
}
