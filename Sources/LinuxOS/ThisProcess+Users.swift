import Glibc

extension ThisProcess {
  /// The number of a user by its name, or nil. For use before other threads look up users.
  ///
  /// The corresponding C function is `getpwnam`.
  public static func user(named name: String) -> UInt32? {
    // SAFETY: the entry is the library's and stays until the next call; its number is copied at once.
    guard let entry = unsafe getpwnam(name) else { return nil }
    return unsafe entry.pointee.pw_uid
  }
}
