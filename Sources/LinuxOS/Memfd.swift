import CLinux

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
}
