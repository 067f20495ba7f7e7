import BatonCore
import BatonWire
import LinuxOS
import Systemd

/// What a registry that comes back does before it listens.
extension RegistryDriver {
  /// Looks after every process in the journal, and carries out what follows from the restart.
  func resume(_ effects: [(GuestName, [Effect])]) {
    var gone: [(ProcessID, GuestName)] = []
    for (guest, _) in effects {
      guard let record = registry[guest]?.record else { continue }
      let context = context(guest)
      context.journalled = record
      context.isAnnounced = true
      for id in record.leaving + [record.owner, record.claimant].compactMap({ $0 }) {
        guard let process = find(id) else {
          gone.append((id, guest))
          continue
        }
        process.guests.insert(guest)
        if id == record.owner { context.user = process.user }
      }
    }
    for (guest, list) in effects { carryOut(list, for: guest) }
    for (process, guest) in gone { submit(.died(process), for: guest) }
    finishNotes()
  }

  /// A process of the journal, or nil when it has ended or its number belongs to another one now.
  private func find(_ id: ProcessID) -> WatchedProcess? {
    if let known = processes[id] { return known }
    guard let pidfd = try? Pidfd(pid: id.pid), ProcessStartTime.of(pid: id.pid) == id.startTime,
      let user = ProcessStartTime.user(of: id.pid), !pidfd.hasExited()
    else { return nil }
    return try? watch(WatchedProcess(id: id, user: user, pidfd: pidfd))
  }
}
