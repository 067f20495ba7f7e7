import BatonWire

extension GuestMachine {
  /// Applies the rules that need no record until none applies any more (R31 to R58).
  mutating func advance() {
    while applyOne() {}
    advanceLeaving()
    giveVerdicts()
    emptyCustodyIfOver()
  }

  /// - Returns: whether a rule applied.
  private mutating func applyOne() -> Bool {
    switch record.phase {
    case .idle: advanceIdle()
    case .staged: advanceStaged()
    case .claimed: advanceClaimed()
    case .rollback: advanceRollback()
    case .departing: advanceDeparting()
    case .arriving: advanceArriving()
    case .lost, .ended, .departed: false
    }
  }

  /// By how much epochs are ahead of handoffs only when a journal was lost: a guest that begins anew, or is taken
  /// back once more, raises its epoch by one.
  private static let epochsAhead: UInt64 = 1_000

  private mutating func advanceIdle() -> Bool {
    guard let owner = record.owner else { return false }
    if isOwnerDead {
      // R33
      declare(.ended, .peerDied)
      return true
    }
    // R31, R63
    guard step == .none, isReachable(owner), runConfirmed, !isSettling, !isLeaving else { return false }
    let next = waiting.first { $0 != owner && isReachable($0) }
    guard next != nil || parkDue else { return false }
    waiting.removeAll { $0 == next }
    candidate = next
    isParking = next == nil
    if isParking { parkDue = false }
    // Numbers: epochs that are far ahead were raised above everything that a lost journal can have given out, and
    // it may have given out attempts that nobody spoke of.
    if record.epoch > record.handoff + Self.epochsAhead { record.handoff = record.epoch }
    record.handoff += 1
    wasTakenBack = false
    step = .preparing
    custody = Custody()
    effects.append(.emptyCustody)
    journal()
    note(.attemptStarted(handoff: record.handoff, source: owner, successor: next))
    arm(.prepare)
    send(.prepare(handoff: record.handoff), to: owner)
    return true
  }

  private mutating func advanceStaged() -> Bool {
    if isOwnerDead, !canOutliveOwner, !isSettling {
      // R38
      declare(.lost, hasDescriptors ? .sourceDestroyed : .peerDied)
      return true
    }
    // R66: as long as the source may take back, nobody claims who had not prepared before it staged.
    if candidate == nil,
      let next = waiting.first(where: {
        isReachable($0) && (isOwnerGone || prepared[$0] == record.handoff)
      })
    {
      // R35
      waiting.removeAll { $0 == next }
      candidate = next
      return true
    }
    guard let candidate else {
      // R36: nobody is there to claim, so the source takes back at once.
      guard !isOwnerGone, !isSettling, !awaitsSuccessor else { return false }
      rollBack(.peerDied)
      return true
    }
    guard isReachable(candidate), hasDescriptors else { return false }
    guard prepared[candidate] == record.handoff else {
      // A next successor has to map the RAM first; the offer is in custody.
      if let manifest, offeredTo.insert(candidate).inserted {
        arm(.prepare)
        note(.offered(handoff: record.handoff, to: candidate))
        send(.offered(handoff: record.handoff, manifest, isGuestStopped: true), to: candidate)
      }
      return false
    }
    // R66: whoever prepared later has to wait until the source is seen dead.
    guard isOwnerDead || !isOwnerGone else { return false }
    // R39 gives the VMs of the dead: after a restart a former claimant may be dead and not yet seen to be.
    guard custody.successors.allSatisfy({ $0 == candidate || dead.contains($0) || isReachable($0) }) else {
      return false
    }
    // R34
    record.phase = .claimed
    record.claimant = candidate
    self.candidate = nil
    mayClaim = true
    claimSent = false
    claimOverdue = false
    journal()
    arm(.claim)
    return true
  }

  private mutating func advanceClaimed() -> Bool {
    // R67: nothing is guessed about a claimant that is not known.
    if isClaimantUnknown, !isKnownUnclaimed { return false }
    if isOwnerDead || (isOwnerReleased && canOutliveOwner), isClaimantGone {
      // Without its journal the registry does not know yet whether there is a claimant.
      guard !isSettling else { return false }
      stageAgainOrLose()  // R42
      return true
    }
    if mayClaim, !claimSent {
      if let claimant = record.claimant, isReachable(claimant), hasDescriptors, let stage {
        // R39
        claimSent = true
        claimAfterDeath = isOwnerDead
        give(.claim(handoff: record.handoff, stage), to: claimant)
        note(.claimed(handoff: record.handoff, by: claimant))
        return true
      }
      if isOwnerDead, !hasDescriptors, !isSettling {
        declare(.lost, .peerDied)  // R40
        return true
      }
    }
    if !isOwnerGone, isClaimantGone, !isSettling {
      rollBack(.peerDied)  // R41
      return true
    }
    if isOwnerDead, claimOverdue { return fenceClaimantIfAllowed() }
    return false
  }

  /// R43 and R46: a claimant may be ended only where its death leaves the guest to somebody.
  private mutating func fenceClaimantIfAllowed() -> Bool {
    guard let claimant = record.claimant, !dead.contains(claimant) else { return false }
    claimOverdue = false
    guard canOutliveClaimant else {
      note(.alarm(handoff: record.handoff))
      return false
    }
    fence(claimant)
    return false
  }

  private mutating func advanceRollback() -> Bool {
    if isOwnerDead {
      if isClaimantGone {
        guard !isSettling else { return false }
        stageAgainOrLose()  // R51
        return true
      }
      if receivedLate, let claimant = record.claimant, isReachable(claimant) {
        // R11 kept it from running beside the source, which is dead now.
        commit(to: claimant)
        return true
      }
      if claimOverdue { return fenceClaimantIfAllowed() }
      return false
    }
    switch record.way {
    case .none:
      if isClaimantGone {
        guard !isSettling, let owner = record.owner, !exited.contains(owner) else { return false }
        giveBack(to: owner)  // R47
        return true
      }
      // R46: as long as somebody else can have the guest.
      if !fencedClaimant, let claimant = record.claimant, !isOwnerGone || hasDescriptors {
        fencedClaimant = true
        fence(claimant)
      }
      return false
    case .token, .move:
      if usedSaid, isClaimantGone {
        // R45
        if record.way == .move, !takeBackComplete {
          takeBackSent = false
          usedSaid = false
          return true
        }
        declare(.lost, .batonUsed)
        return true
      }
      if canOutliveClaimant, usedSaid, claimOverdue { return fenceClaimantIfAllowed() }
      // R44
      guard !takeBackSent, !isSettling, let owner = record.owner, isReachable(owner) else {
        return false
      }
      takeBackComplete = isClaimantGone
      takeBackSent = true
      usedSaid = false
      give(.takeBack(handoff: record.handoff), to: owner)
      return true
    }
  }

  private mutating func giveVerdicts() {
    // R53
    if record.phase == .idle, runDue, !isSettling, let owner = record.owner, isReachable(owner) {
      runDue = false
      send(.run(epoch: record.epoch), to: owner)
      note(.runOrdered(epoch: record.epoch))
    }
    // R54, R64
    for process in releaseDue.keys.sorted()
    where isReachable(process) && !(isOwnerNeeded && process == record.owner) {
      let refusal = releaseDue.removeValue(forKey: process) ?? nil
      send(.release(refusal), to: process)
    }
  }

  /// R57
  private mutating func emptyCustodyIfOver() {
    guard custody != Custody() else { return }
    switch record.phase {
    case .idle:
      guard step == .none else { return }
    case .lost, .ended, .departing, .departed, .arriving: break
    case .staged, .claimed, .rollback: return
    }
    custody = Custody()
    offeredTo = []
    effects.append(.emptyCustody)
  }
}
