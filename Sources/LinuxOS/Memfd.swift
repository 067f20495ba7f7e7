import CLinux

/// Seals of a memfd, as in fcntl(2) `F_ADD_SEALS`.
public struct Seals: OptionSet, Hashable, Sendable {
  public let rawValue: Int32
  public init(rawValue: Int32) { self.rawValue = rawValue }
  /// No further seal may be added.
  public static let seal = Seals(rawValue: 1)
  public static let shrink = Seals(rawValue: 2)
  public static let grow = Seals(rawValue: 4)
  /// Contents can never change again; refused (`EBUSY`) while a writable mapping exists.
  public static let write = Seals(rawValue: 8)

  /// What guest RAM carries: its size is fixed for ever and nobody can add a write seal.
  public static let ram: Seals = [.shrink, .grow, .seal]
  /// What saved state carries: size and contents are fixed for ever.
  public static let state: Seals = [.shrink, .grow, .write, .seal]
}

/// Size of the pages behind a memfd.
public enum PageSize: Int32, Sendable, CaseIterable {
  case base = 0
  case twoMebibytes = 21
  case oneGibibyte = 30
}

/// Creation and contents of anonymous memory files, as in memfd_create(2).
public enum Memfd {
  /// Creates a memfd of `byteCount` zero bytes that can be sealed.
  ///
  /// - Parameters:
  ///   - name: Shown in /proc only, at most 249 bytes; never put a secret in it.
  ///   - byteCount: Size in bytes, a multiple of the page size.
  /// - Throws: `ENOMEM` or `ENODEV` when there are no huge pages of that size, `EINVAL` for a
  ///   size that is no multiple of the huge page.
  public static func create(
    name: String, byteCount: UInt64, pages: PageSize = .base
  ) throws(SystemError) -> OwnedDescriptor {
    let memfd = OwnedDescriptor(
      adopting: Int32(
        try checked(.memfdCreate, on: name) { unsafe Int(clinux_memfd(name, 1, pages.rawValue)) }))
    let number = memfd.number
    _ = try checked(.ftruncate, on: name) { Int(clinux_ftruncate(number, Int64(byteCount))) }
    return memfd
  }
}

extension OwnedDescriptor {
  /// Adds seals to a memfd; they can never be removed.
  public borrowing func addSeals(_ seals: Seals) throws(SystemError) {
    let number = number
    _ = try checked(.fcntl) { Int(clinux_add_seals(number, seals.rawValue)) }
  }

  /// The seals of a memfd; `EINVAL` for anything that is no memfd.
  public borrowing func seals() throws(SystemError) -> Seals {
    let number = number
    return Seals(rawValue: Int32(try checked(.fcntl) { Int(clinux_get_seals(number)) }))
  }

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
}
