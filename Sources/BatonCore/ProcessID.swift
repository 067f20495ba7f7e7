/// One process for all time: its number may be given again, number and start time together never.
public struct ProcessID: Hashable, Sendable, Comparable {
  public let pid: Int32
  /// Clock ticks since boot, as in field 22 of /proc/PID/stat.
  public let startTime: UInt64

  public init(pid: Int32, startTime: UInt64) {
    self.pid = pid
    self.startTime = startTime
  }

  public static func < (a: ProcessID, b: ProcessID) -> Bool {
    (a.pid, a.startTime) < (b.pid, b.startTime)
  }
}
