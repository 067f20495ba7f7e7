import Glibc

extension OwnedDescriptor {
  // Glibc shows them with _GNU_SOURCE only.
  private static var seekData: Int32 { 3 }
  private static var seekHole: Int32 { 4 }

  /// The next range of a file that holds data; the rest are holes, which read as zeros and take no memory.
  ///
  /// - Returns: nil when nothing but a hole follows.
  ///
  /// The corresponding C function is `lseek` with `SEEK_DATA` and `SEEK_HOLE`. It moves the file position, which a
  /// memfd of guest RAM has no use for.
  public borrowing func nextData(from offset: UInt64) throws(SystemError) -> Range<UInt64>? {
    let number = number
    let begin = lseek(number, Int(offset), Self.seekData)
    guard begin >= 0 else {
      if errno == ENXIO { return nil }
      throw SystemError(.fcntl, code: errno, subject: "the holes of a file")
    }
    let end = lseek(number, begin, Self.seekHole)
    guard end >= begin else { throw SystemError(.fcntl, code: errno, subject: "the holes of a file") }
    return UInt64(begin)..<UInt64(end)
  }
}
