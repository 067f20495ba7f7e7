import LinuxOS
import Systemd

/// Accepts connections on a local socket and hands them on.
final class ConnectionListener {
  private let listener: LocalListener
  private var source: EventSource?
  private var pause: LoopTimer?

  /// Makes a socket.
  ///
  /// - Parameter mode: Permission bits of the socket file.
  static func bind(
    path: String, kind: LocalListener.Kind, mode: UInt32, group: UInt32?
  ) throws(SystemError) -> LocalListener {
    let listener = try LocalListener.bind(path: path, kind: kind, mode: 0o600)
    if let group { try Files.changeGroup(of: path, to: group) }
    try Files.changeMode(of: path, to: mode)
    return listener
  }

  /// - Parameter accept: Owns the connection.
  init(
    _ listener: consuming LocalListener, loop: EventLoop, priority: EventLoop.Priority,
    accept: @escaping (consuming OwnedDescriptor) -> Void
  ) throws(SystemError) {
    self.listener = listener
    try self.listener.descriptor.setNonblocking(true)
    source = try loop.watch(self.listener.descriptor.number, priority: priority) { [unowned self] _ in
      do throws(SystemError) {
        accept(try self.listener.accept())
      } catch {
        guard !error.wouldBlock else { return }
        // No descriptor is free: waiting connections would wake the loop for ever.
        source?.setEnabled(false)
        pause = loop.schedule(after: 100_000_000) { [unowned self] in source?.setEnabled(true) }
      }
    }
  }
}
