import RegistryInterface

/// Which of its two slots the successor of a guest is started in.
enum SlotChoice {
  /// The other slot while the guest has an owner. For one that waits in custody a slot that is not barred: after a
  /// restart in place the same as before, else the other one, else slot a.
  ///
  /// - Parameter last: The handoff that the registry remembers last.
  static func slot(for guest: Guest, last: Handoff?) throws(CommandFailure) -> Slot {
    switch guest.state {
    case .lost, .ended:
      throw CommandFailure(
        "nothing was tried", cause: guest.endSentence ?? guest.state.clause, guestState: guest.state.clause,
        remedy: "start it anew", status: CommandStatus(state: guest.state))
    case .departed:
      let host = guest.migration?.peer ?? "another host"
      throw CommandFailure(
        "nothing was tried", cause: "the guest was given up here and is at \(host)",
        guestState: guest.state.clause, remedy: "see batonctl show \(guest.name)", status: .failure)
    case .running, .preparing, .frozen, .staged, .claimed, .takingBack, .waiting, .departing, .arriving: break
    }
    if let owner = guest.owner {
      if let slot = guest.slot { return slot.other }
      let place = owner.unit.map { "in \($0)" } ?? "outside of systemd"
      throw CommandFailure(
        "nothing was tried", cause: "its owner, process \(owner.processId), runs \(place), which is no slot",
        guestState: guest.state.clause,
        remedy: "give the successor with --exec, or start it by other means and use --no-start",
        status: .failure)
    }
    let wasParked = last?.parked == true
    let preferred = guest.slot.map { wasParked ? $0 : $0.other } ?? .a
    let barred = Set((guest.barredSlots ?? []).map(\.slot))
    // Asking for an upgrade clears the bars, so that both barred is as good as none.
    return barred.contains(preferred) && !barred.contains(preferred.other) ? preferred.other : preferred
  }
}
