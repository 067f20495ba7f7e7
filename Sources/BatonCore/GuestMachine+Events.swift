import BatonWire

extension GuestMachine {
  /// Takes one event and everything that follows from it.
  ///
  /// - Returns: effects, to be carried out in this order.
  public mutating func handle(_ event: RegistryEvent) -> [Effect] {
    switch event {
    case .hello(let process, let report, let reads, let manifest, let isAlive, let bringsVM):
      // R2: of an older connection nothing counts, whether its end was noticed or not.
      if heard.contains(process) { disconnected(process) }
      heard.insert(process)
      self.reads[process] = reads
      if !isAlive { exited.insert(process) }
      hear(report, from: process, manifest: manifest, isAlive: isAlive, bringsVM: bringsVM)
    case .report(let process, let report, let isAlive, let bringsVM):
      guard heard.contains(process) else { break }
      if !isAlive { exited.insert(process) }
      hear(report, from: process, manifest: nil, isAlive: isAlive, bringsVM: bringsVM)
    case .disconnected(let process): disconnected(process)
    case .exited(let process): exited.insert(process)
    case .died(let process): died(process)
    case .deadline(let deadline, let handoff): passed(deadline, handoff: handoff)
    case .abort: if isLeaving { cancelMigration() } else { aborted(.abortedByOperator) }
    case .migrate(let start): migrate(start)
    case .receiptShown(let id, let lock): show(id, fitting: lock)
    case .arrivalCancelled(let id): cancelArrival(id)
    case .departureConfirmed(let id): confirm(id)
    case .settled: isSettling = false
    }
    advance()
    // Only the deaths of these decide anything.
    dead = dead.filter {
      $0 == record.owner || $0 == record.claimant || custody.successors.contains($0)
    }
    return takeEffects()
  }

  /// R2: its records are void; what was confirmed or ordered may not have arrived.
  private mutating func disconnected(_ process: ProcessID) {
    heard.remove(process)
    if process == record.owner {
      runConfirmed = false
      takeBackSent = false
      parkDue = false
      migrationOrderSent = false
      departOrderSent = false
      if step == .preparing || step == .offered { abandonAttempt(.peerDisconnected) }
    }
    if process == candidate, record.phase == .idle { aborted(.peerDisconnected) }
    if process == record.claimant { receivedLate = false }
    offeredTo.remove(process)
    // A successor that lost its connection says where it stands when it comes back.
    waiting.removeAll { $0 == process }
  }

  private mutating func died(_ process: ProcessID) {
    heard.remove(process)
    exited.remove(process)
    dead.insert(process)
    waiting.removeAll { $0 == process }
    cancelRelease(process)
    prepared.removeValue(forKey: process)
    offeredTo.remove(process)
    reads.removeValue(forKey: process)
    note(.died(process))
    if record.leaving.contains(process) {
      record.leaving.removeAll { $0 == process }
      journal()
    }
    if process == record.owner, step == .preparing || step == .offered {
      abandonAttempt(.peerDied)
    }
    // Nobody is left who could bring the receipt to where the guest went.
    if process == record.owner, record.phase == .departed, leavingMigration != nil {
      note(.alarm(handoff: record.handoff))
    }
    if process == candidate {
      if record.phase == .idle { aborted(.peerDied) }
      candidate = nil
    }
  }

  private mutating func passed(_ deadline: Deadline, handoff: UInt64) {
    switch deadline {
    case .prepare where handoff == record.handoff && step != .none: aborted(.deadlinePassed)
    case .prepare where handoff == record.handoff && record.phase == .staged:
      release(candidate, .deadlinePassed)
    case .freeze where handoff == record.handoff && step == .freezing: aborted(.deadlinePassed)
    case .claim where handoff == record.handoff: claimDeadlinePassed()
    case .takeBack where handoff == record.handoff && record.phase == .rollback:
      claimOverdue = true
      note(.alarm(handoff: handoff))
      arm(.takeBack)
    case .release(let process):
      // R55, R56, R65: told to go, and still there.
      guard mustGo.contains(process) else { return }
      if process == record.owner, isOwnersVerdictOpen {
        guard isOwnerReleased else { return }
        guard canOutliveOwner else {
          note(.alarm(handoff: record.handoff))
          arm(.release(process))
          return
        }
      }
      fence(process)
      arm(.release(process))
    case .migration:
      guard isMigrationOpen else { return }
      note(.alarm(handoff: record.handoff))
      arm(.migration)
    case .prepare, .freeze, .claim, .takeBack: break
    }
  }

  /// Whether somebody has to say what became of a migration.
  private var isMigrationOpen: Bool {
    switch record.phase {
    case .departing: return true
    case .departed: return leavingMigration != nil
    case .arriving:
      if case .coming(isArrived: true, _)? = record.migration?.course { return true }
      return false
    case .idle, .staged, .claimed, .rollback, .lost, .ended: return false
    }
  }

  /// Whether the guest is still with its owner, or may come back to it.
  private var isOwnersVerdictOpen: Bool {
    switch record.phase {
    case .idle, .staged, .claimed, .rollback, .departing, .arriving: true
    case .lost, .ended, .departed: false
    }
  }

  private mutating func claimDeadlinePassed() {
    guard !isSettling else {
      // Who has the baton is not known before everybody had time to say so.
      arm(.claim)
      return
    }
    switch record.phase {
    case .staged:
      // R36
      awaitsSuccessor = false
      if !isOwnerGone {
        release(candidate, .deadlinePassed)
        rollBack(.deadlinePassed)
      } else if let candidate, !offeredTo.contains(candidate) {
        release(candidate, .deadlinePassed)
      }
    case .claimed where isClaimantUnknown:
      // R69
      note(.alarm(handoff: record.handoff))
      arm(.claim)
    case .claimed:
      // R41, R43
      claimOverdue = true
      if !isOwnerGone { rollBack(.deadlinePassed) }
    case .idle, .rollback, .lost, .ended, .departing, .departed, .arriving: break
    }
  }

  /// The operator, a deadline or a death ends the attempt; what was staged is taken back.
  private mutating func aborted(_ reason: Refusal) {
    switch record.phase {
    case .idle:
      switch step {
      case .none, .aborting: break
      case .preparing, .offered, .freezing:
        // R32. An owner that cannot be reached says by itself where it stands when it comes back.
        note(.aborted(handoff: record.handoff, reason))
        release(candidate, reason)
        candidate = nil
        step = .aborting
        disarm(.prepare)
        disarm(.freeze)
        if let owner = record.owner, isReachable(owner) {
          send(.takeBack(handoff: record.handoff), to: owner)
        }
      }
    case .staged where !isOwnerGone && !isSettling:
      release(candidate, reason)
      rollBack(reason)
    // R69: the operator's word that nobody has run the guest; there is no source to have it back.
    case .claimed where isClaimantUnknown && isOwnerDead && !isSettling: stageAgainOrLose()
    case .claimed where !isSettling && !(isClaimantUnknown ? isOwnerReleased : isOwnerGone):
      rollBack(reason)
    case .staged, .claimed, .rollback, .lost, .ended, .departing, .departed, .arriving: break
    }
  }

  /// The source is gone while the guest ran on it: nothing was ordered that needs an answer.
  private mutating func abandonAttempt(_ reason: Refusal) {
    note(.aborted(handoff: record.handoff, reason))
    release(candidate, reason)
    candidate = nil
    forgetAttempt()
  }
}
