public import BatonWire

/// The registry's side of one guest: who owns it, and what happens about that.
///
/// Pure: events in, effects out, no clock and no I/O. The rules are those of Tests/Model/RULES.md,
/// cited as R1 to R86.
public struct GuestMachine: Sendable {
  /// What is journalled.
  public internal(set) var record: GuestRecord

  /// Where an attempt stands while the guest still runs on its source; forgotten at restart.
  public enum Step: Hashable, Sendable {
    case none
    /// The source was asked for its offer.
    case preparing
    /// The successor has the offer.
    case offered
    case freezing
    case aborting
  }

  public internal(set) var step = Step.none
  /// The attempt has no successor: its owner asked to be parked (R63).
  public internal(set) var isParking = false
  /// The owner of this epoch asked to be parked, and no attempt has come of it yet (R62).
  var parkDue = false
  /// Who is to claim next.
  public internal(set) var candidate: ProcessID?
  /// Successors that have attached and are not the candidate, first come first.
  public internal(set) var waiting: [ProcessID] = []
  /// VMMs whose first record on the present connection was processed (R1).
  var heard: Set<ProcessID> = []
  var dead: Set<ProcessID> = []
  /// Not seen dead, but its pidfd says that it has ended, or SIGKILL is on its way (R59): it is given
  /// nothing any more.
  var exited: Set<ProcessID> = []
  /// The handoff whose RAM a successor has mapped.
  var prepared: [ProcessID: UInt64] = [:]
  var offeredTo: Set<ProcessID> = []
  var reads: [ProcessID: ReadableFormats] = [:]
  var mayClaim = false
  var claimSent = false
  var claimAfterDeath = false
  var takeBackSent = false
  var takeBackComplete = false
  var usedSaid = false
  var runDue = false
  /// The owner answered the verdict of this epoch.
  public internal(set) var runConfirmed = false
  /// Who is to be told `release`, and why.
  var releaseDue: [ProcessID: Refusal?] = [:]
  /// Who was or will be told to go, and is fenced when it does not.
  var mustGo: Set<ProcessID> = []
  var claimOverdue = false
  /// The claimant said `received` when taking back was journalled already (way `none`).
  var receivedLate = false
  var fencedClaimant = false
  /// After a restart the successor is given time to come back.
  var awaitsSuccessor = false
  /// How the last attempt ended; says why its baton is worth nothing.
  var wasTakenBack = false
  /// The journal was lost, and a successor that had prepared this handoff has said that it does not have the baton:
  /// then nobody has it, and nobody had (R66, R68).
  var isKnownUnclaimed = false
  /// Nothing was journalled before: no verdict until those who live had time to come back.
  var isSettling: Bool
  /// The order to migrate, or to end that, was sent on the owner's present connection.
  var migrationOrderSent = false
  /// So was the order to give the guest up.
  var departOrderSent = false
  public internal(set) var manifest: Manifest?
  var stage: Stage?
  public internal(set) var custody = Custody()
  var effects: [Effect] = []

  init(record: GuestRecord, isSettling: Bool) {
    self.record = record
    self.isSettling = isSettling
  }

  /// A guest as the journal left it. Deadlines of what was under way start again from full.
  ///
  /// - Parameter held: What else of it is left.
  public static func restored(
    _ record: GuestRecord, holding held: Held? = nil
  ) -> (GuestMachine, [Effect]) {
    var machine = GuestMachine(record: record, isSettling: false)
    if let held { machine.take(held) }
    switch record.phase {
    case .idle, .lost, .ended: break
    case .staged, .claimed:
      machine.awaitsSuccessor = true
      machine.arm(.claim)
    case .rollback: machine.arm(.takeBack)
    case .departing: machine.arm(.migration)
    case .departed: if machine.leavingMigration != nil { machine.arm(.migration) }
    case .arriving:
      if case .coming(isArrived: true, _)? = record.migration?.course { machine.arm(.migration) }
    }
    for process in record.leaving {
      machine.mustGo.insert(process)
      machine.releaseDue.updateValue(process == record.owner ? nil : .notOwner, forKey: process)
      machine.arm(.release(process))
    }
    return (machine, machine.takeEffects())
  }

  mutating func takeEffects() -> [Effect] {
    defer { effects = [] }
    return effects
  }

  // MARK: What is known

  /// Connected, alive and heard (R1).
  public func isReachable(_ process: ProcessID?) -> Bool {
    guard let process else { return false }
    return heard.contains(process) && !dead.contains(process) && !exited.contains(process)
  }

  func isSeenDead(_ process: ProcessID?) -> Bool {
    guard let process else { return false }
    return dead.contains(process)
  }

  /// Nobody, or seen dead.
  var isClaimantGone: Bool { record.claimant.map { dead.contains($0) } ?? true }
  /// Seen dead, or unknown because the journal was lost.
  var isOwnerDead: Bool { record.owner.map { dead.contains($0) } ?? true }
  /// Dead, seen or not, or let go: the source cannot take anything back.
  var isOwnerGone: Bool {
    isOwnerDead || isOwnerReleased || (record.owner.map { exited.contains($0) } ?? false)
  }
  /// The guest is parked: its owner was let go when it had staged, and takes nothing back any more (R64).
  public var isOwnerReleased: Bool {
    switch record.phase {
    case .staged, .claimed: record.owner.map { record.leaving.contains($0) } ?? false
    case .idle, .rollback, .lost, .ended, .departing, .departed, .arriving: false
    }
  }
  /// The owner was let go, and then what the guest needs to outlive it was lost: it has to present it once more.
  public var isOwnerNeeded: Bool { isOwnerReleased && !canOutliveOwner }
  /// The journal was lost and a source of way `none` has staged: who has its baton, or had it and ran the guest, is
  /// not known, and nothing in the kernel says it (R67). No other way leads here.
  public var isClaimantUnknown: Bool {
    record.phase == .claimed && record.claimant == nil && record.way == .none
  }

  // MARK: Parts of effects

  mutating func journal() { effects.append(.journal(record)) }
  mutating func note(_ note: Note) { effects.append(.note(note)) }
  mutating func arm(_ deadline: Deadline) {
    effects.append(.arm(deadline, handoff: record.handoff))
  }
  mutating func disarm(_ deadline: Deadline) { effects.append(.disarm(deadline)) }
  mutating func send(_ message: RegistryMessage, to process: ProcessID) {
    effects.append(.send(message, to: process))
  }

  /// Whoever is neither owner nor candidate is to be released, and fenced when it does not go.
  mutating func release(_ process: ProcessID?, _ refusal: Refusal? = nil) {
    guard let process, !dead.contains(process) else { return }
    waiting.removeAll { $0 == process }
    if candidate == process { candidate = nil }
    if releaseDue[process] == nil { releaseDue.updateValue(refusal, forKey: process) }
    if mustGo.insert(process).inserted { arm(.release(process)) }
  }

  /// Like ``release(_:_:)`` for one that owned the guest or had its baton: also journalled (by the
  /// caller's next entry), so that a restart does not forget it, and never allowed back.
  mutating func expel(_ process: ProcessID?, _ refusal: Refusal? = nil) {
    guard let process, !dead.contains(process) else { return }
    if !record.leaving.contains(process) { record.leaving.append(process) }
    release(process, refusal)
  }

  mutating func cancelRelease(_ process: ProcessID) {
    releaseDue.removeValue(forKey: process)
    if mustGo.remove(process) != nil { disarm(.release(process)) }
  }

  /// Ends a process through its pidfd. R59: from now on it counts as little as a dead one.
  mutating func fence(_ process: ProcessID) {
    exited.insert(process)
    effects.append(.fence(process))
    note(.fenced(process))
  }

  mutating func forgetAttempt() {
    step = .none
    isParking = false
    claimOverdue = false
    receivedLate = false
    fencedClaimant = false
    awaitsSuccessor = false
    isKnownUnclaimed = false
    mayClaim = false
    claimSent = false
    claimAfterDeath = false
    takeBackSent = false
    takeBackComplete = false
    usedSaid = false
    stage = nil
    disarm(.prepare)
    disarm(.freeze)
    disarm(.claim)
    disarm(.takeBack)
  }

  // MARK: Outcomes

  /// R48: the commit point. The old owner is released, the claimant owns the next epoch.
  mutating func commit(to successor: ProcessID) {
    let handoff = record.handoff
    expel(record.owner)
    wasTakenBack = false
    record.owner = successor
    record.claimant = nil
    record.epoch += 1
    record.phase = .idle
    forgetAttempt()
    parkDue = false
    if candidate == successor { candidate = nil }
    cancelRelease(successor)
    runDue = true
    runConfirmed = false
    journal()
    note(.committed(handoff: handoff, owner: successor, epoch: record.epoch))
  }

  /// R49: the source owns the guest again, in a new epoch.
  mutating func giveBack(to source: ProcessID) {
    let handoff = record.handoff
    expel(record.claimant, .takenBack)
    release(candidate, .takenBack)
    wasTakenBack = true
    record.claimant = nil
    record.epoch += 1
    record.phase = .idle
    forgetAttempt()
    parkDue = false
    candidate = nil
    cancelRelease(source)
    runDue = true
    runConfirmed = false
    journal()
    note(.takenBack(handoff: handoff, epoch: record.epoch))
  }

  /// R50: journalled before anything is ordered; a claim that never left is withdrawn.
  mutating func rollBack(_ reason: Refusal) {
    precondition(!isOwnerReleased, "an owner that was let go takes nothing back")
    awaitsSuccessor = false
    if let claimant = record.claimant, mayClaim, !claimSent {
      record.claimant = nil
      if !dead.contains(claimant) { waiting.append(claimant) }
    }
    record.phase = .rollback
    mayClaim = false
    claimSent = false
    takeBackSent = false
    takeBackComplete = false
    usedSaid = false
    disarm(.claim)
    journal()
    note(.rollingBack(handoff: record.handoff, reason))
    arm(.takeBack)
  }

  /// R52: said only when the kernel keeps nothing that could be used.
  mutating func declare(_ phase: GuestRecord.Phase, _ reason: Refusal) {
    let leftovers = Set(waiting).union(heard)
      .union([record.owner, record.claimant, candidate].compactMap { $0 })
    if let migration = leavingMigration { forgetLeaving(migration.id, reason) }
    record.previous = nil
    record.phase = phase
    record.claimant = nil
    forgetAttempt()
    parkDue = false
    candidate = nil
    waiting = []
    runDue = false
    runConfirmed = false
    journal()
    note(phase == .lost ? .lost(handoff: record.handoff, reason) : .ended)
    for process in leftovers.sorted() { release(process, phase == .lost ? .guestLost : .guestEnded) }
  }

  /// R42 and R51: neither owner nor claimant can have the guest any more.
  mutating func stageAgainOrLose() {
    record.claimant = nil
    claimOverdue = false
    receivedLate = false
    fencedClaimant = false
    guard canOutliveOwner else {
      declare(.lost, hasDescriptors ? .sourceDestroyed : .peerDied)
      return
    }
    record.phase = .staged
    mayClaim = false
    claimSent = false
    disarm(.takeBack)
    disarm(.claim)
    journal()
  }
}
