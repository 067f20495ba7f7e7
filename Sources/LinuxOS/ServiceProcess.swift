import CLinux

/// What a long-lived service asks of the kernel about itself.
extension ThisProcess {
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
}

extension OwnedDescriptor {
  /// Allocates every byte of the file up to `byteCount` and makes it that large, so that no later
  /// write into a mapping of it can fail.
  ///
  /// - Throws: `ENOSPC` when the file system is full.
  ///
  /// The corresponding C function is `posix_fallocate`.
  public borrowing func allocate(_ byteCount: Int) throws(SystemError) {
    let number = number
    _ = try checked(.ftruncate, on: "\(byteCount) bytes") { Int(clinux_allocate(number, Int64(byteCount))) }
  }
}

extension Files {
  /// Gives a file to a group.
  ///
  /// - Throws: `EPERM` when this process is neither root nor a member of the group.
  ///
  /// The corresponding C function is `chown`.
  public static func changeGroup(of path: String, to group: UInt32) throws(SystemError) {
    // SAFETY: the string lives for the call, which copies the path.
    _ = try checked(.chmod, on: path) { unsafe Int(clinux_change_group(path, group)) }
  }
}

extension ProcessStartTime {
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

extension Files {
  /// Sets the permission bits of a file. The corresponding C function is `chmod`.
  public static func changeMode(of path: String, to mode: UInt32) throws(SystemError) {
    // SAFETY: the string lives for the call, which copies the path.
    _ = try checked(.chmod, on: path) { unsafe Int(clinux_chmod(path, mode)) }
  }
}
