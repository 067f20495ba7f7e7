import Glibc

/// Descriptors that whoever started this process left open for it, told apart by their names: listening
/// sockets of socket units, and what the service had put into the service manager's store.
///
/// The protocol is that of sd_listen_fds(3), read from the environment; systemd and
/// systemd-socket-activate(1) speak it. What nobody takes is closed with this value.
public struct PassedDescriptors: ~Copyable, Sendable {
  private struct Entry {
    let name: String
    let number: Int32
  }

  /// The number of the first one (`SD_LISTEN_FDS_START`).
  private static let first: Int32 = 3
  private var entries: [Entry]

  /// Takes over what was passed to this process, close-on-exec from now on.
  ///
  /// Call it once, at the very start, before anything else opens a descriptor.
  public static func take() -> PassedDescriptors {
    let list = names(
      pid: ThisProcess.pid, listenPID: ThisProcess.environment("LISTEN_PID"),
      count: ThisProcess.environment("LISTEN_FDS"), names: ThisProcess.environment("LISTEN_FDNAMES"))
    return PassedDescriptors(names: list, from: first)
  }

  /// Nothing.
  public init() { entries = [] }

  /// - Parameter first: The number of the first one; numbers that are not open are left out.
  init(names: [String], from first: Int32) {
    entries = []
    for (offset, name) in names.enumerated() {
      let number = first + Int32(offset)
      guard fcntl(number, F_SETFD, FD_CLOEXEC) == 0 else { continue }
      entries.append(Entry(name: name, number: number))
    }
  }

  deinit { for entry in entries { _ = close(entry.number) } }

  /// The names of what is left, in the order of the numbers; a name may stand there more than once.
  public var names: [String] { entries.map(\.name) }

  /// Takes the first descriptor of this name out.
  public mutating func take(named name: String) -> OwnedDescriptor? {
    guard let index = entries.firstIndex(where: { $0.name == name }) else { return nil }
    return OwnedDescriptor(adopting: entries.remove(at: index).number)
  }

  /// What the variables of sd_listen_fds(3) say: the names of the descriptors, the first one being number 3.
  ///
  /// - Returns: Nothing when the variables are for another process or make no sense. Without a name of its own
  ///   a descriptor is called `unknown`, as systemd does.
  static func names(pid: Int32, listenPID: String?, count: String?, names: String?) -> [String] {
    guard let listenPID, Int32(listenPID) == pid, let count = count.flatMap({ Int32($0) }),
      (1...maximumCount).contains(count)
    else { return [] }
    var list = (names ?? "").split(separator: ":", omittingEmptySubsequences: false).map { String($0) }
    if names == nil { list = [] }
    list = list.prefix(Int(count)).map { $0.isEmpty ? "unknown" : $0 }
    return list + Array(repeating: "unknown", count: Int(count) - list.count)
  }

  /// More than any manager passes; keeps a nonsensical number from being counted up to.
  private static let maximumCount: Int32 = 1 << 20
}

extension LocalListener {
  /// Takes over a socket that was passed to this process.
  ///
  /// - Parameter name: What it was called, for the error.
  /// - Throws: `EINVAL` when it is no local socket of this kind that listens.
  public static func passed(
    _ descriptor: consuming OwnedDescriptor, kind: Kind, name: String
  ) throws(SystemError) -> LocalListener {
    let type = Int32(kind == .seqpacket ? SOCK_SEQPACKET.rawValue : SOCK_STREAM.rawValue)
    let word = kind == .seqpacket ? "sequential-packet" : "stream"
    let number = descriptor.number
    guard option(SO_DOMAIN, of: number) == AF_UNIX, option(SO_TYPE, of: number) == type,
      option(SO_ACCEPTCONN, of: number) == 1
    else {
      throw SystemError(
        .getsockopt, code: EINVAL,
        subject: "the passed descriptor \(name), which has to be a listening local \(word) socket")
    }
    return LocalListener(adopting: descriptor)
  }

  private static func option(_ option: Int32, of number: Int32) -> Int32? {
    var value: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    // SAFETY: both pointers are to locals that live for the call, and the size is the value's.
    return unsafe getsockopt(number, SOL_SOCKET, option, &value, &size) == 0 ? value : nil
  }
}
