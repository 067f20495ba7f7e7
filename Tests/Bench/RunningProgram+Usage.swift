import Harness

/// What the kernel has counted of a running program.
extension RunningProgram {
  /// The largest resident memory so far, in bytes (`VmHWM` in /proc/PID/status, proc(5)).
  func largestResidentByteCount() throws -> UInt64 {
    for line in try TextFile.lines(ofProcess: pid, "status") where line.hasPrefix("VmHWM:") {
      let fields = line.split(whereSeparator: { $0 == " " || $0 == "\t" })
      if fields.count > 1, let kibibytes = UInt64(fields[1]) { return kibibytes * 1024 }
    }
    throw BenchError("/proc/\(pid)/status says nothing of VmHWM")
  }

  /// Resident memory that is not shared, in bytes: guest RAM, which is a memfd, does not count (`RssAnon` and
  /// `RssFile` in /proc/PID/status, proc(5)).
  func ownResidentByteCount() throws -> UInt64 {
    let lines = try TextFile.lines(ofProcess: pid, "status").filter {
      $0.hasPrefix("RssAnon:") || $0.hasPrefix("RssFile:")
    }
    let kibibytes = lines.compactMap { line in
      line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { UInt64($0) }
    }
    guard kibibytes.count == 2 else {
      throw BenchError("/proc/\(pid)/status says nothing of RssAnon and RssFile")
    }
    return kibibytes.reduce(0, +) * 1024
  }

  /// Time on processors so far, its own and the kernel's for it: fields 14 and 15 of /proc/PID/stat (proc(5)), in
  /// hundredths of a second.
  func processorSeconds() throws -> Double {
    let fields = try statistics()
    guard let user = Double(fields[11]), let system = Double(fields[12]) else {
      throw BenchError("/proc/\(pid)/stat is not understood")
    }
    return (user + system) / 100
  }

  /// Whether it has ended and only waits to be waited for, so that its times are still told.
  func isOver() throws -> Bool { try statistics()[0] == "Z" }

  /// What /proc/PID/stat says from field 3 on.
  private func statistics() throws -> [Substring] {
    let text = try TextFile.lines(ofProcess: pid, "stat").joined()
    // The name of the program stands in parentheses and may hold spaces.
    let fields = (text.split(separator: ")").last ?? "").split(separator: " ")
    guard fields.count > 12 else { throw BenchError("/proc/\(pid)/stat is not understood") }
    return fields
  }
}
