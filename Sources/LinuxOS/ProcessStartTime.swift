import CLinux
import Glibc

/// When a process started, in clock ticks since boot: with its number, its identity.
public enum ProcessStartTime {
  /// Field 22 of /proc/PID/stat (proc(5)), or nil when there is no such process.
  public static func of(pid: Int32) -> UInt64? {
    let path = "/proc/\(pid)/stat"
    let number = unsafe clinux_open(path, O_RDONLY, 0)
    guard number >= 0 else { return nil }
    let file = OwnedDescriptor(adopting: number)
    guard let bytes = try? file.read(maximum: 4096) else { return nil }
    // The command name is in parentheses and may contain anything, so count from the last one.
    guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
    guard fields.count > 19 else { return nil }
    return UInt64(String(decoding: fields[19], as: UTF8.self))
  }

  /// The real user of a process (`Uid:` in /proc/PID/status, proc(5)), or nil when it is gone.
  public static func user(of pid: Int32) -> UInt32? {
    guard let file = try? Files.open("/proc/\(pid)/status", .readOnly),
      let bytes = try? file.read(maximum: 4096)
    else { return nil }
    for line in bytes.split(separator: UInt8(ascii: "\n")) where line.starts(with: Array("Uid:".utf8)) {
      let fields = line.split(separator: UInt8(ascii: "\t"))
      return fields.count > 1 ? UInt32(String(decoding: fields[1], as: UTF8.self)) : nil
    }
    return nil
  }
}
