import BatonWire

extension GuestMachine {
  /// Rules R5 to R30 and R62: what a record of a VMM changes.
  mutating func hear(
    _ report: Report, from process: ProcessID, manifest: Manifest?, isAlive: Bool, bringsVM: Bool
  ) {
    adoptIfJournalWasLost(report, from: process)
    switch report {
    case .fresh, .attach:
      attach(report, process)
      if bringsVM, report == .attach(prepared: record.handoff), hasStagedAttempt { keepSuccessorVM(process) }
    case .claiming(let handoff):
      // R9
      if !isClaim(of: handoff, process) {
        refuseBaton(handoff, process)
      } else if bringsVM {
        keepSuccessorVM(process)
      }
    case .received(let handoff):
      if bringsVM, isClaim(of: handoff, process) { keepSuccessorVM(process) }
      received(handoff, process, isAlive: isAlive)
    case .refused(let handoff, let used, let returned):
      if let returned { stage = returned }
      refused(handoff, used: used, process, manifest: manifest)
    case .staged(let handoff, let stage):
      staged(handoff, stage, process, manifest: manifest, bringsTakeBackVM: bringsVM)
    case .tookBack(let handoff): tookBack(handoff, process, isAlive: isAlive)
    case .used(let handoff):
      // R27
      if record.phase == .rollback, record.handoff == handoff, record.owner == process {
        usedSaid = true
      }
    case .resumed(let handoff): resumed(process, ofHandoff: handoff, epoch: nil, firstInstruction: 0)
    case .running(let epoch, let firstInstruction):
      resumed(process, ofHandoff: nil, epoch: epoch, firstInstruction: firstInstruction)
    case .offer(let handoff, let manifest):
      offer(handoff, manifest, bringsTakeBackVM: bringsVM, process)
    case .ready(let handoff): ready(handoff, bringsVM: bringsVM, process)
    case .declined(let handoff, let refusal): declined(handoff, refusal, process)
    case .ended(let epoch):
      if record.owner == process, record.phase == .idle, epoch == record.epoch {
        declare(.ended, .guestEnded)
      }
    case .described(let way):
      // Between handoffs only: what was offered counts for the rest.
      if record.owner == process, record.phase == .idle, step == .none, record.way != way {
        record.way = way
        journal()
      }
    case .park(let epoch):
      // R62
      if record.owner == process, record.phase == .idle, epoch == record.epoch, !isParking { parkDue = true }
    case .departing(let id): departing(id, process, isAlive: isAlive)
    case .departed(let id): departed(id, process)
    case .stays(let id, let refusal): stays(id, refusal, process)
    case .confirmed(let id): if record.owner == process { confirm(id) }
    case .standsDeparting(let departing): stand(departing, process, isAlive: isAlive)
    case .standsArriving(let arriving): stand(arriving, process)
    case .arrived(let id): arrived(id, process)
    case .receipt(let id, let lock): receipt(id, fitting: lock, process)
    }
  }

  /// Without its journal the registry learns from the VMMs who is source and who is claimant, as long as it does
  /// not know (R68).
  private mutating func adoptIfJournalWasLost(_ report: Report, from process: ProcessID) {
    switch report {
    case .staged, .tookBack:
      if record.owner == nil {
        record.owner = process
        journal()
      }
    case .running(let epoch, _):
      guard isSettling || isClaimantUnknown, record.owner != process else { return }
      // Who runs has had the verdict: an older owner that still waits for its own is told to go.
      expel(record.owner, .notOwner)
      // Numbers: no two owners in one epoch. Which attempts it has seen is not said, but epochs go on above all.
      record.epoch = max(record.epoch, epoch) + 1
      record.handoff = max(record.handoff, record.epoch)
      record.owner = process
      record.claimant = nil
      record.phase = .idle
      record.leaving.removeAll { $0 == process }
      // Whatever an earlier owner left with, the guest is here.
      record.migration = nil
      record.previous = nil
      disarm(.migration)
      forgetAttempt()
      parkDue = false
      journal()
    case .claiming(let handoff), .received(let handoff), .refused(let handoff, _, _):
      if isSettling || isClaimantUnknown, record.phase == .claimed, record.claimant == nil,
        record.owner != process,
        handoff == record.handoff
      {
        record.claimant = process
        journal()
      }
    case .fresh, .attach, .used, .resumed, .offer, .ready, .declined, .ended, .described, .park, .departing,
      .departed, .stays, .confirmed, .standsDeparting, .standsArriving, .arrived, .receipt:
      break
    }
  }

  /// The phases of handoffs on this host.
  private var isInHandoffOrIdle: Bool {
    switch record.phase {
    case .idle, .staged, .claimed, .rollback: true
    case .lost, .ended, .departing, .departed, .arriving: false
    }
  }

  /// Whether the baton of this handoff is with the registry, or was given out and is not settled.
  private var hasStagedAttempt: Bool {
    switch record.phase {
    case .staged, .claimed, .rollback: true
    case .idle, .lost, .ended, .departing, .departed, .arriving: false
    }
  }

  private func isClaim(of handoff: UInt64, _ process: ProcessID) -> Bool {
    (record.phase == .claimed || record.phase == .rollback) && record.claimant == process
      && record.handoff == handoff
  }

  /// Says which baton it is that somebody believes to have.
  private mutating func refuseBaton(_ handoff: UInt64, _ process: ProcessID) {
    let refusal: Refusal
    if handoff == 0 || handoff > record.handoff {
      refusal = .batonUnknown
    } else if record.phase == .lost {
      refusal = .sourceDestroyed
    } else if record.handoff == handoff {
      switch record.phase {
      case .staged, .claimed: refusal = .batonForeign
      case .rollback: refusal = .batonRevoked
      case .idle: refusal = wasTakenBack ? .batonRevoked : .batonUsed
      case .lost, .ended: refusal = .sourceDestroyed
      case .departing, .departed, .arriving: refusal = .batonUsed
      }
    } else {
      refusal = .batonUsed
    }
    release(process, refusal)
  }

  private mutating func attach(_ report: Report, _ process: ProcessID) {
    guard !record.leaving.contains(process) else {
      release(process, .fencedInThisEpoch)
      return
    }
    if case .attach(let handoff) = report {
      prepared[process] = handoff
      // R68
      if isClaimantUnknown, handoff == record.handoff { isKnownUnclaimed = true }
    }
    switch record.phase {
    case .lost, .ended:
      // R5
      let refusal = record.phase == .lost ? Refusal.guestLost : .guestEnded
      if report == .attach(prepared: Standing.neverBegins) {
        // It has nothing of the guest, and may wait for it to come from another host.
        refuse(process, refusal)
      } else {
        release(process, refusal)
      }
    case .departed: refuse(process, .departed)
    case .departing, .arriving: refuse(process, .migrationUnderWay)
    case .claimed where record.claimant == process:
      // R6: it does not have the claim.
      mayClaim = true
      claimSent = false
      cancelRelease(process)
    case .rollback where record.claimant == process:
      // R7: it never had the claim.
      record.claimant = nil
      journal()
      wait(process)
    case .idle where record.owner == process:
      // The owner attaches again although it was never told to run: its verdict is due.
      runDue = true
      cancelRelease(process)
    case .idle, .staged, .claimed, .rollback:
      if isLeaving, record.owner != process {
        refuse(process, .migrationUnderWay)
      } else if case .fresh = report {
        refuse(process, .secondOwner)
      } else if record.owner == process {
        refuse(process, .protocolViolation)
      } else if hasOtherSuccessor(than: process) {
        refuse(process, .secondSuccessor)
      } else {
        wait(process)
      }
    }
  }

  /// R8
  private mutating func wait(_ process: ProcessID) {
    cancelRelease(process)
    guard candidate != process, !waiting.contains(process) else { return }
    waiting.append(process)
    note(.attached(process))
  }

  mutating func refuse(_ process: ProcessID, _ refusal: Refusal) {
    heard.remove(process)
    effects.append(.refuse(process, refusal))
  }

  private func hasOtherSuccessor(than process: ProcessID) -> Bool {
    let others = waiting + [candidate, record.claimant].compactMap { $0 }
    return others.contains { $0 != process && !dead.contains($0) }
  }

  private mutating func received(_ handoff: UInt64, _ process: ProcessID, isAlive: Bool) {
    if isClaim(of: handoff, process) {
      // R11: the decision was journalled; the claimant is being ended.
      if record.phase == .rollback, record.way == .none, !isOwnerDead {
        receivedLate = true
        return
      }
      // R10: a process that is known to be dead or was ended gets no guest; its seen death decides.
      if isAlive, !exited.contains(process) { commit(to: process) }
    } else if record.owner == process, record.phase == .idle {
      runDue = true  // R12
    } else {
      refuseBaton(handoff, process)  // R13
    }
  }

  private mutating func refused(
    _ handoff: UInt64, used: Bool, _ process: ProcessID, manifest: Manifest?
  ) {
    guard isClaim(of: handoff, process) else {
      release(process, .batonUsed)  // R19
      return
    }
    // R14
    if !used, let manifest { keepReturnedDescriptors(manifest) }
    record.claimant = nil
    expel(process, used ? .batonUsed : .takenBack)
    if !isOwnerDead, !isOwnerReleased {
      if record.phase == .claimed { rollBack(used ? .batonUsed : .successorDeclined) } else { journal() }
    } else if used, record.way == .token || claimAfterDeath {
      declare(.lost, .batonUsed)  // R16
    } else {
      // R17, R18
      record.phase = .staged
      mayClaim = false
      claimSent = false
      journal()
    }
  }

  private mutating func staged(
    _ handoff: UInt64, _ stage: Stage, _ process: ProcessID, manifest: Manifest?, bringsTakeBackVM: Bool
  ) {
    guard record.owner == process, isInHandoffOrIdle else {
      release(process, .notOwner)  // R20
      return
    }
    guard handoff == record.handoff else {
      release(process, .protocolViolation)
      return
    }
    if let manifest {
      keepSourceDescriptors(manifest, bringsTakeBackVM: bringsTakeBackVM, state: true)
    } else {
      keepState()
    }
    self.stage = stage
    switch record.phase {
    case .staged, .claimed, .rollback:
      // R21
      takeBackSent = false
      usedSaid = false
      if isOwnerReleased { releaseDue.updateValue(nil, forKey: process) }
    case .idle where step == .freezing:
      // R22
      step = .none
      disarm(.freeze)
      record.phase = .staged
      record.claimant = nil
      if isParking, canOutliveOwner {
        // R64
        expel(process)
      } else {
        arm(.claim)
      }
      isParking = false
      journal()
      note(.staged(handoff: handoff, stage))
    case .idle:
      // R23
      step = .none
      isParking = false
      disarm(.freeze)
      release(candidate, .abortedByOperator)
      candidate = nil
      takeBackComplete = true
      record.phase = .rollback
      record.claimant = nil
      takeBackSent = false
      usedSaid = false
      journal()
      note(.rollingBack(handoff: handoff, .abortedByOperator))
      arm(.takeBack)
    case .lost, .ended, .departing, .departed, .arriving: break
    }
  }

  private mutating func tookBack(_ handoff: UInt64, _ process: ProcessID, isAlive: Bool) {
    guard record.owner == process, isInHandoffOrIdle else {
      release(process, .notOwner)  // R26
      return
    }
    guard isAlive, handoff == record.handoff, !isOwnerReleased else { return }
    switch record.phase {
    case .rollback, .staged, .claimed: giveBack(to: process)  // R24
    case .idle where !runConfirmed:
      // R25: its verdict may be lost. In the epoch that this taking back began it is only said again.
      if wasTakenBack { runDue = true } else { giveBack(to: process) }
    case .idle, .lost, .ended, .departing, .departed, .arriving: break
    }
  }

  private mutating func resumed(
    _ process: ProcessID, ofHandoff handoff: UInt64?, epoch: UInt64?, firstInstruction: UInt64
  ) {
    guard record.owner == process else {
      release(process, .notOwner)
      return
    }
    guard record.phase == .idle else {
      switch record.phase {
      case .lost, .ended: release(process, .guestEnded)
      case .departed: release(process, .departed)
      // It says that it runs a guest for which it has no verdict.
      case .departing, .arriving: refuse(process, .protocolViolation)
      case .idle, .staged, .claimed, .rollback: break
      }
      return
    }
    let isThisAttempt = handoff == nil || handoff == record.handoff
    if step != .none, isThisAttempt {
      // R28: a source that runs has not staged.
      if step != .aborting { note(.aborted(handoff: record.handoff, .sourceDeclined)) }
      release(candidate, .sourceDeclined)
      candidate = nil
      forgetAttempt()
    }
    if handoff != nil {
      if isThisAttempt { runConfirmed = true }  // R29
    } else if epoch == record.epoch {
      if !runConfirmed { note(.running(epoch: record.epoch, firstInstruction: firstInstruction)) }
      runConfirmed = true
      runDue = false
    } else {
      runDue = true  // R30
    }
  }
}
