import Harness

/// A machine on which little else runs.
enum QuietMachine {
  /// Waits until all processors worked less than a tenth of half a second, twice in a row: a process that ended
  /// leaves its memory to the kernel, which may give it back to a hypervisor for seconds, and one that has just begun
  /// makes its own. After half a minute it is not waited for any longer.
  static func wait() throws {
    var quiet = 0
    var before = try times()
    for _ in 0..<60 where quiet < 2 {
      Wait.pause(milliseconds: 500)
      let now = try times()
      let all = now.all - before.all
      quiet = (now.busy - before.busy) * 10 < all ? quiet + 1 : 0
      before = now
    }
  }

  /// Of all processors since the machine began, in ticks; the first line of /proc/stat (proc_stat(5)).
  private static func times() throws -> (busy: UInt64, all: UInt64) {
    let fields = try Host.read("/proc/stat").prefix { $0 != "\n" }.split(separator: " ").dropFirst()
      .compactMap { UInt64($0) }
    guard fields.count >= 8 else {
      throw BenchError("/proc/stat does not begin with the times of all processors")
    }
    // Guests' time is in that of their processes already.
    let all = fields.prefix(8).reduce(0, +)
    return (all - fields[3] - fields[4], all)
  }
}
