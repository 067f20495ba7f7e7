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
