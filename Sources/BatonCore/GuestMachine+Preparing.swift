import BatonWire

extension GuestMachine {
  /// The source's answer to prepare goes to the successor if that one can read what will come.
  mutating func offer(
    _ handoff: UInt64, _ offered: Manifest, bringsTakeBackVM: Bool, _ process: ProcessID
  ) {
    guard record.owner == process, record.phase == .idle, step == .preparing,
      handoff == record.handoff, isParking || candidate != nil
    else { return }
    if let successor = candidate, !(reads[successor]?.canRead(offered.format) ?? false) {
      endAttempt(.stateUnreadable)
      return
    }
    if record.way != offered.way {
      record.way = offered.way
      journal()
    }
    keepSourceDescriptors(offered, bringsTakeBackVM: bringsTakeBackVM, state: false)
    step = .offered
    note(.offered(handoff: handoff, to: candidate))
    if let successor = candidate {
      offeredTo.insert(successor)
      send(.offered(handoff: handoff, offered, isGuestStopped: false), to: successor)
    } else if willOutliveOwner {
      freeze()
    } else {
      // R63: the guest would end with its owner.
      endAttempt(.sourceDeclined)
    }
  }

  /// The successor has checked and mapped the RAM: everything that takes time is done.
  mutating func ready(_ handoff: UInt64, bringsVM: Bool, _ process: ProcessID) {
    guard handoff == record.handoff else { return }
    prepared[process] = handoff
    if bringsVM, process == candidate { keepSuccessorVM(process) }
    guard process == candidate, step == .offered else { return }
    note(.ready(handoff: handoff))
    freeze()
  }

  /// Everything that could be done before is done: the owner stops the guest.
  private mutating func freeze() {
    guard let owner = record.owner else { return }
    step = .freezing
    disarm(.prepare)
    arm(.freeze)
    send(.freeze(handoff: record.handoff), to: owner)
    note(.freezeOrdered(handoff: record.handoff))
  }

  /// One of the two cannot take part.
  mutating func declined(_ handoff: UInt64, _ refusal: Refusal, _ process: ProcessID) {
    guard handoff == record.handoff else { return }
    if process == record.owner || (process == candidate && record.phase == .idle) {
      endAttempt(refusal)
    } else if process == candidate {
      release(process, refusal)
    }
  }

  private mutating func endAttempt(_ refusal: Refusal) {
    guard record.phase == .idle, step == .preparing || step == .offered else { return }
    note(.aborted(handoff: record.handoff, refusal))
    release(candidate, refusal)
    candidate = nil
    step = .aborting
    disarm(.prepare)
    if let owner = record.owner, isReachable(owner) {
      send(.takeBack(handoff: record.handoff), to: owner)
    }
  }
}
