import CLinux
import Glibc

/// Facts about this process and its users.
public enum ThisProcess {
  public static var pid: Int32 { getpid() }
  public static var effectiveUser: UInt32 { geteuid() }
  public static var effectiveGroup: UInt32 { getegid() }
  /// Keeps other processes of the same user from reading this one's memory, and out of core dumps.
  public static func hideMemory() throws(SystemError) {
    _ = try checked(.prctl) { Int(clinux_set_not_dumpable()) }
  }
  /// The number of a group by its name, or nil.
  public static func group(named name: String) -> UInt32? {
    let group = unsafe clinux_group_id(name)
    return group >= 0 ? UInt32(group) : nil
  }

  /// Overwrites a buffer that held a secret, in a way that the compiler may not leave out.
  ///
  /// The corresponding C function is `explicit_bzero`.
  public static func wipe(_ bytes: inout [UInt8]) {
    unsafe bytes.withUnsafeMutableBytes { unsafe clinux_wipe($0.baseAddress, $0.count) }
  }

  /// Sends a signal to this process.
  public static func signalSelf(_ signal: Int32) { _ = kill(getpid(), signal) }

  /// A write to a pipe or socket that nobody reads any more becomes the error `EPIPE`.
  public static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }

  /// Raises the soft limit of open descriptors (`RLIMIT_NOFILE`) to the hard one.
  ///
  /// - Returns: How many descriptors this process may have open now.
  ///
  /// The corresponding C function is `setrlimit`.
  @discardableResult
  public static func raiseDescriptorLimit() throws(SystemError) -> Int {
    try checked(.getrlimit, on: "RLIMIT_NOFILE") { Int(clinux_raise_descriptor_limit()) }
  }

  /// A variable of the environment, or nil when it is not set.
  public static func environment(_ name: String) -> String? {
    // SAFETY: nothing in this package changes the environment, so the bytes stay where they are.
    guard let value = unsafe clinux_environment(name) else { return nil }
    return unsafe String(cString: value)
  }

  /// Resident memory in bytes, from field 2 of /proc/self/statm (proc(5)); 0 when it cannot be read.
  public static var residentByteCount: UInt64 {
    guard let file = try? Files.open("/proc/self/statm", .readOnly),
      let bytes = try? file.read(maximum: 256)
    else { return 0 }
    let fields = bytes.split(separator: UInt8(ascii: " "))
    guard fields.count > 1, let pages = UInt64(String(decoding: fields[1], as: UTF8.self)) else { return 0 }
    return pages * 4096
  }

  /// The path of the program that runs, from /proc/self/exe (proc(5)).
  public static func programPath() throws(SystemError) -> String {
    var path = [UInt8](repeating: 0, count: 4096)
    let count = try checked(.open, on: "/proc/self/exe") {
      // SAFETY: the kernel writes at most `count` bytes, within the closure.
      unsafe path.withUnsafeMutableBytes { buffer in
        unsafe Int(
          clinux_program_path(
            buffer.baseAddress?.assumingMemoryBound(to: CChar.self), UInt64(buffer.count)))
      }
    }
    return String(decoding: path[..<count], as: UTF8.self)
  }
}
