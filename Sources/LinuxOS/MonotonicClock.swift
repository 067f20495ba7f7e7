import CLinux

/// Clocks of the kernel, in nanoseconds. All processes of a host read the same values.
public enum MonotonicClock {
  /// `CLOCK_MONOTONIC`: never steps; does not count suspend.
  public static func now() -> UInt64 { clinux_monotonic_nanoseconds() }
  /// `CLOCK_REALTIME`: for people and logs only.
  public static func wallTime() -> UInt64 { clinux_realtime_nanoseconds() }
  /// `CLOCK_REALTIME` of a moment of `CLOCK_MONOTONIC`, as far as the former was not set since.
  public static func wallTime(at monotonic: UInt64) -> UInt64 { wallTime() &- (now() &- monotonic) }
}
