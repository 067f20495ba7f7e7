import CLinux

/// Contents and locks of regular files, memfds among them.
extension OwnedDescriptor {
  /// Sets the size of the file in bytes.
  public borrowing func truncate(to byteCount: UInt64) throws(SystemError) {
    let number = number
    _ = try checked(.ftruncate) { Int(clinux_ftruncate(number, Int64(byteCount))) }
  }

  /// Writes all of `bytes` at `offset`, without moving the file position.
  public borrowing func write(_ bytes: [UInt8], at offset: UInt64) throws(SystemError) {
    let number = number
    var done = 0
    while done < bytes.count {
      done += try checked(.pwrite) {
        unsafe bytes.withUnsafeBytes {
          unsafe clinux_pwrite(
            number, $0.baseAddress.map { unsafe $0 + done }, $0.count - done,
            Int64(offset) + Int64(done))
        }
      }
    }
  }

  /// Reads up to `count` bytes at `offset`; fewer at the end of the file.
  public borrowing func read(count: Int, at offset: UInt64) throws(SystemError) -> [UInt8] {
    let number = number
    var bytes = [UInt8](repeating: 0, count: count)
    var done = 0
    while done < count {
      let got = try checked(.pread) {
        unsafe bytes.withUnsafeMutableBytes {
          unsafe clinux_pread(
            number, $0.baseAddress.map { unsafe $0 + done }, $0.count - done,
            Int64(offset) + Int64(done))
        }
      }
      if got == 0 { break }
      done += got
    }
    bytes.removeLast(count - done)
    return bytes
  }

  /// Appends to or streams into the file; returns how many bytes were taken.
  public borrowing func write(_ bytes: [UInt8]) throws(SystemError) -> Int {
    let number = number
    return try checked(.write) {
      unsafe bytes.withUnsafeBytes { unsafe clinux_write(number, $0.baseAddress, $0.count) }
    }
  }

  /// Reads what is there, at most `maximum` bytes; empty at the end of the file.
  public borrowing func read(maximum: Int) throws(SystemError) -> [UInt8] {
    let number = number
    var bytes = [UInt8](repeating: 0, count: maximum)
    let count = try checked(.read) {
      unsafe bytes.withUnsafeMutableBytes { unsafe clinux_read(number, $0.baseAddress, $0.count) }
    }
    bytes.removeLast(maximum - count)
    return bytes
  }

  /// Takes an exclusive open-file-description lock on the whole file, without waiting.
  ///
  /// The lock belongs to the open file: it travels with the descriptor and ends with the last
  /// duplicate. Never open the file a second time to check it.
  ///
  /// - Throws: `EAGAIN` when another open file holds a lock.
  ///
  /// The corresponding C function is `fcntl` with `F_OFD_SETLK`.
  public borrowing func lockExclusively() throws(SystemError) {
    let number = number
    _ = try checked(.fcntl) { Int(clinux_ofd_write_lock(number)) }
  }

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
