import CLinux

/// An open file descriptor that this value alone may close.
public struct OwnedDescriptor: ~Copyable, Sendable {
  /// The number in this process's table. Valid as long as the value lives; never close it.
  public let number: Int32

  /// Takes ownership of an open descriptor.
  public init(adopting number: Int32) {
    precondition(number >= 0, "cannot adopt invalid descriptor \(number)")
    self.number = number
  }

  deinit { _ = clinux_close(number) }

  /// Gives up ownership; the caller must close the returned number.
  public consuming func release() -> Int32 {
    let number = number
    discard self
    return number
  }

  /// A second descriptor of the same open file, close-on-exec.
  ///
  /// - Throws: `EMFILE` when the process may not open more.
  ///
  /// The corresponding C function is `fcntl` with `F_DUPFD_CLOEXEC`.
  public borrowing func duplicate() throws(SystemError) -> OwnedDescriptor {
    let number = number
    return OwnedDescriptor(adopting: Int32(try checked(.dup) { Int(clinux_duplicate(number, 3)) }))
  }

  /// Sets `O_NONBLOCK` on the open file (shared with every duplicate).
  public borrowing func setNonblocking(_ enabled: Bool) throws(SystemError) {
    let number = number
    _ = try checked(.fcntl) { Int(clinux_set_nonblocking(number, enabled ? 1 : 0)) }
  }

  /// Device, inode, size and mode of the open file. The corresponding C function is `fstat`.
  public borrowing func identity() throws(SystemError) -> FileIdentity {
    try FileIdentity(ofBorrowed: number)
  }
}
