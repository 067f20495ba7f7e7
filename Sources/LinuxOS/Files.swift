import CLinux
import Glibc

/// Opening, naming and removing files.
public enum Files {
  public enum Mode: Sendable {
    case readOnly
    case readWrite
    /// Creates the file when it is not there, with permission for the owner only.
    case createReadWrite
    /// Creates the file; `EEXIST` when it is there.
    case createNew
    case append
  }

  public static func open(_ path: String, _ mode: Mode) throws(SystemError) -> OwnedDescriptor {
    let flags: Int32
    switch mode {
    case .readOnly: flags = O_RDONLY
    case .readWrite: flags = O_RDWR
    case .createReadWrite: flags = O_RDWR | O_CREAT
    case .createNew: flags = O_RDWR | O_CREAT | O_EXCL
    case .append: flags = O_WRONLY | O_CREAT | O_APPEND
    }
    return OwnedDescriptor(
      adopting: Int32(try checked(.open, on: path) { unsafe Int(clinux_open(path, flags, 0o600)) }))
  }

  /// Removes a name; false when it was not there.
  @discardableResult
  public static func remove(_ path: String) throws(SystemError) -> Bool {
    let result = unsafe clinux_unlink(path)
    if result == -ENOENT { return false }
    if result < 0 { throw SystemError(.unlink, code: -result, subject: path) }
    return true
  }

  /// Gives a file another name, replacing what had it, in one step.
  public static func rename(_ path: String, to newPath: String) throws(SystemError) {
    _ = try checked(.rename, on: path) { unsafe Int(clinux_rename(path, newPath)) }
  }

  /// Makes a directory; true when it was made, false when it was there.
  @discardableResult
  public static func makeDirectory(_ path: String, mode: UInt32 = 0o700) throws(SystemError) -> Bool {
    let result = unsafe clinux_mkdir(path, mode)
    if result == -EEXIST { return false }
    if result < 0 { throw SystemError(.mkdir, code: -result, subject: path) }
    return true
  }

  /// Makes a directory that nobody else can enter, named `prefix` and six characters of the system's choice.
  ///
  /// The corresponding C function is `mkdtemp`.
  public static func makePrivateDirectory(prefix: String) throws(SystemError) -> String {
    var path = Array("\(prefix)XXXXXX".utf8CString)
    _ = try checked(.mkdir, on: prefix) {
      // SAFETY: the array ends with a zero byte and is changed in place only.
      unsafe path.withUnsafeMutableBufferPointer {
        unsafe Int(clinux_make_private_directory($0.baseAddress))
      }
    }
    return String(decoding: path.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }

  /// Removes an empty directory. The corresponding C function is `rmdir`.
  public static func removeDirectory(_ path: String) throws(SystemError) {
    // SAFETY: the string lives for the call, which copies the path.
    _ = try checked(.unlink, on: path) { unsafe Int(clinux_remove_directory(path)) }
  }

  /// Gives a file to a group.
  ///
  /// - Throws: `EPERM` when this process is neither root nor a member of the group.
  ///
  /// The corresponding C function is `chown`.
  public static func changeGroup(of path: String, to group: UInt32) throws(SystemError) {
    // SAFETY: the string lives for the call, which copies the path.
    _ = try checked(.chmod, on: path) { unsafe Int(clinux_change_group(path, group)) }
  }

  /// Sets the permission bits of a file. The corresponding C function is `chmod`.
  public static func changeMode(of path: String, to mode: UInt32) throws(SystemError) {
    // SAFETY: the string lives for the call, which copies the path.
    _ = try checked(.chmod, on: path) { unsafe Int(clinux_chmod(path, mode)) }
  }
}
