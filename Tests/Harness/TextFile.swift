import LinuxOS

/// Whole small files.
public enum TextFile {
  public static func bytes(_ path: String, maximum: Int = 64 << 20) throws -> [UInt8] {
    let file = try Files.open(path, .readOnly)
    let size = Int(clamping: try file.identity().byteCount)
    return try file.read(count: min(size, maximum), at: 0)
  }

  public static func read(_ path: String) throws -> String {
    String(decoding: try bytes(path), as: UTF8.self)
  }

  /// The lines of a file in /proc/PID.
  public static func lines(ofProcess pid: Int32, _ file: String) throws -> [Substring] {
    let bytes = try Files.open("/proc/\(pid)/\(file)", .readOnly).read(maximum: 65_536)
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n")
  }
}
