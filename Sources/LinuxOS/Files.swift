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
}

/// An unnamed pipe, as in pipe(2).
public struct Pipe: ~Copyable {
  /// The end that reads.
  public var readEnd: OwnedDescriptor
  /// The end that writes.
  public var writeEnd: OwnedDescriptor

  /// Makes a pipe, both ends close-on-exec.
  public init() throws(SystemError) {
    var numbers: [Int32] = [-1, -1]
    _ = try checked(.pipe) {
      unsafe numbers.withUnsafeMutableBufferPointer { unsafe Int(clinux_pipe($0.baseAddress)) }
    }
    readEnd = OwnedDescriptor(adopting: numbers[0])
    writeEnd = OwnedDescriptor(adopting: numbers[1])
  }

  /// Closes the end that writes and keeps the other one.
  public consuming func closingWriteEnd() -> OwnedDescriptor { readEnd }
}

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
}

extension ThisProcess {
  /// Overwrites a buffer that held a secret, in a way that the compiler may not leave out.
  ///
  /// The corresponding C function is `explicit_bzero`.
  public static func wipe(_ bytes: inout [UInt8]) {
    unsafe bytes.withUnsafeMutableBytes { unsafe clinux_wipe($0.baseAddress, $0.count) }
  }
}

extension ThisProcess {
  /// Sends a signal to this process.
  public static func signalSelf(_ signal: Int32) { _ = kill(getpid(), signal) }

  /// A write to a pipe or socket that nobody reads any more becomes the error `EPIPE`.
  public static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }
}
