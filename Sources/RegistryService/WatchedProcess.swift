import BatonCore
import BatonWire
import LinuxOS
import Systemd

/// A VMM's process, held by its pidfd until it has ended.
final class WatchedProcess {
  let id: ProcessID
  let user: UInt32
  /// The systemd unit that it was in when it connected.
  let unit: String?
  private let pidfd: Pidfd
  var source: EventSource?
  /// Guests whose machines have heard of it.
  var guests: Set<GuestName> = []
  /// Its open connections, said hello or not.
  var connections: [ObjectIdentifier: VMMConnection] = [:]
  /// What binary it is, as it says itself.
  var build: String?
  /// The registry has sent SIGKILL; it is as good as dead, and gets nothing any more.
  private(set) var isFenced = false

  init(id: ProcessID, user: UInt32, pidfd: consuming Pidfd) {
    self.id = id
    self.user = user
    let unit = ServiceUnit.of(pid: id.pid)
    // What was read of a number whose process has ended may be another's.
    self.unit = pidfd.hasExited() ? nil : unit
    self.pidfd = pidfd
  }

  var descriptor: Int32 { pidfd.descriptor.number }

  /// What the pidfd says now.
  var isAlive: Bool { !isFenced && !pidfd.hasExited() }

  /// Ends the process.
  func fence() throws(SystemError) {
    try pidfd.signal(9)
    isFenced = true
  }

  /// Whether this process may be signalled: `EPERM` says no.
  func checkFence() throws(SystemError) { try pidfd.signal(0) }
}
