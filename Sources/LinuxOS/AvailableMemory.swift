import Glibc

/// What the kernel could give to new allocations.
public enum AvailableMemory {
  /// Pages of 4 KiB that can be had without swapping, in bytes; huge pages that are set aside do not count.
  ///
  /// - Throws: `ENOENT` where `/proc/meminfo` is hidden, `ENODATA` where it does not say.
  ///
  /// The source is `MemAvailable` in proc_meminfo(5).
  public static func byteCount() throws(SystemError) -> UInt64 {
    let path = "/proc/meminfo"
    let text = String(decoding: try Files.open(path, .readOnly).read(count: 1 << 16, at: 0), as: UTF8.self)
    guard let byteCount = parse(text) else { throw SystemError(.read, code: ENODATA, subject: path) }
    return byteCount
  }

  static func parse(_ text: String) -> UInt64? {
    for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
      let fields = line.split(separator: " ")
      guard fields.count == 3, fields[2] == "kB", let kibibytes = UInt64(fields[1]) else { return nil }
      return kibibytes.multipliedReportingOverflow(by: 1024).overflow ? nil : kibibytes * 1024
    }
    return nil
  }
}
