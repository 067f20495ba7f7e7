import BatonCore
import BatonWire
import LinuxOS
import Systemd

/// What a registry that comes back does before it listens.
extension RegistryDriver {
  /// Looks after every process in the journal, and carries out what follows from the restart.
  ///
  /// - Parameter restored: What the descriptor store had kept of guests in handoff.
  func resume(_ effects: [(GuestName, [Effect])], _ restored: [GuestName: RestoredCustody] = [:]) {
    var gone: [(ProcessID, GuestName)] = []
    for (guest, _) in effects {
      guard let record = registry[guest]?.record else { continue }
      let context = context(guest)
      context.journalled = record
      context.isAnnounced = true
      if let restored = restored[guest] { take(restored, context) }
      if isOver(record.phase) {
        over.append(OverGuest(name: guest, since: MonotonicClock.now()))
      }
      let successors = restored[guest]?.held.custody.successors ?? []
      for id in Set(record.leaving + successors + [record.owner, record.claimant].compactMap({ $0 })).sorted()
      {
        guard let process = find(id) else {
          gone.append((id, guest))
          continue
        }
        process.guests.insert(guest)
        if id == record.owner { context.takeOwner(process) }
      }
    }
    for (guest, _) in effects { adoptRestored(context(guest), restored[guest]?.held.stage) }
    for (guest, list) in effects { carryOut(list, for: guest) }
    for (process, guest) in gone { submit(.died(process), for: guest) }
    finishNotes()
    forgetOverGuests()
  }

  /// Custody goes on as if it had never been away.
  private func take(_ restored: RestoredCustody, _ context: GuestContext) {
    context.custody = restored.custody
    context.facts = restored.facts
    context.user = restored.user
    context.storedSlot = restored.slot
    context.manifest = restored.held.manifest
    charge(context, by: restored.custody.count)
    log.write(
      .notice, "guest \(context.name) is in custody: \(restored.names.count) descriptors came back",
      messageID: RegistryMessageID.custodyRestored.rawValue, fields: [("BATON_VM", context.name.text)])
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
