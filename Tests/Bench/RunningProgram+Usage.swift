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

  /// Time on processors so far, its own and the kernel's for it: fields 14 and 15 of /proc/PID/stat (proc(5)), in
  /// hundredths of a second.
  func processorSeconds() throws -> Double {
    let text = try TextFile.lines(ofProcess: pid, "stat").joined()
    // The name of the program stands in parentheses and may hold spaces.
    let fields = (text.split(separator: ")").last ?? "").split(separator: " ")
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else {
      throw BenchError("/proc/\(pid)/stat is not understood")
    }
    return (user + system) / 100
  }
}
