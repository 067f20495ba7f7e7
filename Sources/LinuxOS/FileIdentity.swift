import CLinux

/// What makes two descriptors the same file, and how large it is.
public struct FileIdentity: Hashable, Sendable {
  public let device: UInt64
  public let inode: UInt64
  /// Size in bytes (0 for sockets and pipes).
  public let byteCount: UInt64
  /// `st_mode`, type bits included.
  public let mode: UInt32

  public init(device: UInt64, inode: UInt64, byteCount: UInt64, mode: UInt32) {
    self.device = device
    self.inode = inode
    self.byteCount = byteCount
    self.mode = mode
  }

  /// What is behind a number that stays the caller's.
  ///
  /// - Throws: `EBADF` when it is not open. The corresponding C function is `fstat`.
  public init(ofBorrowed number: Int32) throws(SystemError) {
    var raw = clinux_file_identity()
    _ = try checked(.fstat) { unsafe Int(clinux_file_identity(number, &raw)) }
    self.init(device: raw.device, inode: raw.inode, byteCount: raw.size, mode: raw.mode)
  }

  /// Whether this is a regular file (a memfd is one).
  public var isRegularFile: Bool { mode & 0o170000 == 0o100000 }
}
