public import BatonWire

/// Rules R70 to R86: a guest that leaves for another host, or comes from one.
///
/// Two registries decide, and neither sees the other. The source's one makes a receipt and gives the guest up in
/// its journal; the target's one gives the verdict to run for nothing but that receipt. So there is one commit,
/// and it is the source's.
extension GuestMachine {
  /// Why no migration can begin now; nil when one can (R70).
  public var migrationObstacle: Refusal? {
    switch record.phase {
    case .idle: break
    case .staged, .claimed, .rollback: return .secondSuccessor
    case .lost: return .guestLost
    case .ended: return .guestEnded
    case .departing, .arriving: return .migrationUnderWay
    case .departed: return .departed
    }
    if leavingMigration != nil { return .migrationUnderWay }
    guard !isSettling else { return .settling }
    guard step == .none, candidate == nil, waiting.isEmpty, !parkDue else { return .secondSuccessor }
    guard let owner = record.owner, isReachable(owner), runConfirmed else { return .peerDisconnected }
    return nil
  }

  /// The migration with which the guest leaves or has left, until it is confirmed.
  public var leavingMigration: MigrationRecord? {
    guard let migration = record.migration, case .leaving = migration.course else { return nil }
    return migration
  }

  /// All of a guest is here that comes, and its receipt is missing.
  public var isArrived: Bool {
    if record.phase == .arriving, case .coming(isArrived: true, _)? = record.migration?.course { return true }
    return false
  }

  /// The owner is to leave, or its guest is about to, and nothing else may begin.
  var isLeaving: Bool { record.phase == .idle && leavingMigration != nil }

  // MARK: What operators say

  /// R70
  mutating func migrate(_ start: MigrationStart) {
    guard migrationObstacle == nil else { return }
    // Whoever asks about the migration with which the guest came is still to hear that it did.
    record.previous = record.migration
    record.migration = MigrationRecord(
      id: start.id, lock: start.lock, peer: start.request.host,
      course: .leaving(start.receipt, start.request, isCancelled: false))
    migrationOrderSent = false
    journal()
    note(.migrationStarted(start.id))
  }

  /// R72: before the guest stands still for it, a migration may be ended.
  mutating func cancelMigration() {
    guard isLeaving, var migration = record.migration,
      case .leaving(let receipt, let request, isCancelled: false) = migration.course
    else { return }
    migration.course = .leaving(receipt, request, isCancelled: true)
    record.migration = migration
    migrationOrderSent = false
    journal()
  }

  /// R79: the guest runs where it went to.
  mutating func confirm(_ id: MigrationID) {
    guard record.phase == .departed, var migration = leavingMigration, migration.id == id else { return }
    migration.course = .confirmed
    record.migration = migration
    disarm(.migration)
    journal()
    note(.departureConfirmed(id))
  }

  /// What an operator hears who brings a receipt that fits `lock`; nil when it is taken.
  public func objection(toReceiptOf id: MigrationID, fitting lock: DepartureLock) -> Refusal? {
    guard let migration = record.migration, migration.id == id else { return .receiptWrong }
    switch migration.course {
    case .coming, .came: return migration.lock == lock ? nil : .receiptWrong
    case .leaving, .confirmed: return .receiptWrong
    }
  }

  /// R83
  mutating func show(_ id: MigrationID, fitting lock: DepartureLock) {
    guard record.phase == .arriving, var migration = record.migration, migration.id == id,
      migration.lock == lock, case .coming(let isArrived, let isShown) = migration.course
    else { return }
    if !isShown {
      migration.course = .coming(isArrived: isArrived, isShown: true)
      record.migration = migration
    }
    if isArrived, let owner = record.owner, !dead.contains(owner), !exited.contains(owner) {
      commitArrival()
    } else if !isShown {
      journal()
    }
  }

  /// R85: the operator's word that the source kept the guest.
  mutating func cancelArrival(_ id: MigrationID) {
    guard record.phase == .arriving, let migration = record.migration, migration.id == id,
      case .coming(_, isShown: false) = migration.course
    else { return }
    // Refused and not released: its VMM has nothing to give up, and is there for another guest.
    if let owner = record.owner { refuse(owner, .migrationCancelled) }
    record.owner = nil
    failArrival(.migrationCancelled)
  }

  // MARK: What the source's VMM says

  /// R73
  mutating func departing(_ id: MigrationID, _ process: ProcessID, isAlive: Bool) {
    guard record.owner == process else {
      release(process, .notOwner)
      return
    }
    switch record.phase {
    case .idle:
      guard isAlive, !exited.contains(process) else { return }
      guard let migration = leavingMigration, migration.id == id,
        case .leaving(_, let request, isCancelled: false) = migration.course, !request.isPlanOnly
      else {
        // It stands still for something that is not wanted, or not any more.
        stay(id, .migrationCancelled)
        return
      }
      record.phase = .departing
      departOrderSent = false
      runConfirmed = false
      journal()
      note(.departing(id))
      arm(.migration)
    case .departing:
      // R74: the order may not have arrived.
      if record.migration?.id == id { departOrderSent = false }
    case .departed: releaseDue.updateValue(nil, forKey: process)
    case .lost, .ended: release(process, .guestEnded)
    case .staged, .claimed, .rollback, .arriving: break
    }
  }

  /// R76
  mutating func departed(_ id: MigrationID, _ process: ProcessID) {
    guard record.owner == process else {
      release(process, .notOwner)
      return
    }
    if record.phase == .departing, record.migration?.id == id {
      depart()
    } else if record.phase == .departed {
      releaseDue.updateValue(nil, forKey: process)
    }
  }

  /// R78. A source that had said `departing` waits for a verdict; one that had not runs on.
  mutating func stays(_ id: MigrationID, _ refusal: Refusal, _ process: ProcessID) {
    guard record.owner == process else {
      release(process, .notOwner)
      return
    }
    switch record.phase {
    case .departing:
      if record.migration?.id == id { stay(id, refusal) }
    case .idle:
      if leavingMigration?.id == id {
        forgetLeaving(id, refusal)
        journal()
      } else if record.stayed.contains(id) {
        if !runConfirmed { runDue = true }
      } else if record.migration?.id != id, record.previous?.id != id {
        // The journal that knew it was lost; the other host may still ask.
        rememberStayed(id)
        journal()
      }
    case .departed: releaseDue.updateValue(nil, forKey: process)
    case .arriving: withdraw(id, refusal, process)
    case .staged, .claimed, .rollback, .lost, .ended: break
    }
  }

  /// R85: the VMM that receives the guest does not go on, and is there for another one.
  private mutating func withdraw(_ id: MigrationID, _ refusal: Refusal, _ process: ProcessID) {
    guard let migration = record.migration, migration.id == id,
      case .coming(_, isShown: false) = migration.course
    else { return }
    // The answer without which it says so again.
    refuse(process, .migrationCancelled)
    record.owner = nil
    failArrival(refusal)
  }

  /// The first record of an owner that waits for what becomes of its migration.
  mutating func stand(_ departing: Departing, _ process: ProcessID, isAlive: Bool) {
    guard record.owner == process else {
      release(process, .notOwner)
      return
    }
    switch departing.step {
    case .asking: self.departing(departing.id, process, isAlive: isAlive)
    case .permitted:
      // It was ordered, so it was journalled: there is nothing to say but the order once more.
      if record.phase == .departing { departOrderSent = false }
      if record.phase == .departed { releaseDue.updateValue(nil, forKey: process) }
    case .sent: departed(departing.id, process)
    case .staying:
      if record.phase == .idle, isAlive, !runConfirmed, !record.stayed.contains(departing.id) {
        stay(departing.id, .migrationCancelled)
      } else {
        stays(departing.id, .migrationCancelled, process)
      }
    }
  }

  // MARK: What the target's VMM says

  /// R81: the first record of a VMM that receives the guest already.
  mutating func stand(_ arriving: Arriving, _ process: ProcessID) {
    if record.owner == process, record.phase == .arriving, let earlier = record.migration,
      case .coming(_, isShown: false) = earlier.course, earlier.id != arriving.id
    {
      // Nothing came of its earlier one, whatever it could not say of it, and it is there for the next.
      disarm(.migration)
      record.epoch = max(record.epoch, arriving.epoch)
      record.migration = MigrationRecord(
        id: arriving.id, lock: arriving.lock, peer: arriving.peer,
        course: .coming(isArrived: false, isShown: false))
      note(.arrivalFailed(earlier.id, nil))
      journal()
      note(.arriving(arriving.id, process))
    }
    if isArrivalOver, record.migration?.id == arriving.id || record.previous?.id == arriving.id {
      refuse(process, .migrationCancelled)
      return
    }
    guard record.owner == process, let migration = record.migration, migration.id == arriving.id,
      migration.lock == arriving.lock
    else {
      refuse(process, record.owner == process ? .protocolViolation : .guestExists)
      return
    }
    switch record.phase {
    case .arriving: if arriving.isArrived { complete(arriving.id, process) }
    case .idle:
      // Its verdict may be lost.
      runDue = true
    case .lost, .ended, .departed, .staged, .claimed, .rollback, .departing: break
    }
  }

  /// Nothing came of an arrival, or it is over with the guest.
  private var isArrivalOver: Bool {
    switch record.phase {
    case .lost, .ended, .departed: true
    case .idle, .staged, .claimed, .rollback, .departing, .arriving: false
    }
  }

  /// R82, answered so that the source may be told.
  mutating func arrived(_ id: MigrationID, _ process: ProcessID) {
    guard record.owner == process, record.phase == .arriving, record.migration?.id == id else { return }
    complete(id, process)
    send(.arrivalJournalled(id), to: process)
  }

  /// R82
  private mutating func complete(_ id: MigrationID, _ process: ProcessID) {
    guard var migration = record.migration, case .coming(isArrived: false, let isShown) = migration.course
    else { return }
    migration.course = .coming(isArrived: true, isShown: isShown)
    record.migration = migration
    note(.arrived(id))
    if isShown, !exited.contains(process) {
      commitArrival()
    } else {
      journal()
      arm(.migration)
    }
  }

  /// R83
  mutating func receipt(_ id: MigrationID, fitting lock: DepartureLock, _ process: ProcessID) {
    guard record.owner == process, let migration = record.migration, migration.id == id else {
      refuse(process, .receiptWrong)
      return
    }
    guard migration.lock == lock else {
      refuse(process, .receiptWrong)
      return
    }
    if record.phase == .idle, migration.course == .came, !runConfirmed {
      runDue = true
    } else {
      show(id, fitting: lock)
    }
  }

  // MARK: What follows without a record

  /// R71: the order to migrate, or not to go on with it, once on each connection.
  mutating func advanceLeaving() {
    guard isLeaving, !migrationOrderSent, !isSettling, runConfirmed, let owner = record.owner,
      isReachable(owner), let migration = record.migration,
      case .leaving(_, let request, let isCancelled) = migration.course
    else { return }
    migrationOrderSent = true
    send(
      isCancelled ? .cancelMigration(migration.id) : .migrate(migration.id, migration.lock, request),
      to: owner)
  }

  /// - Returns: whether a rule applied.
  mutating func advanceDeparting() -> Bool {
    if isOwnerDead {
      // R75: its VM was closed with it, and no descriptor of it is anywhere else. It cannot run here any more.
      depart()
      note(.alarm(handoff: record.handoff))
      return true
    }
    // R74
    if !departOrderSent, let owner = record.owner, isReachable(owner), let migration = record.migration,
      let receipt = migration.receipt
    {
      departOrderSent = true
      send(.depart(migration.id, receipt), to: owner)
    }
    return false
  }

  /// R84
  mutating func advanceArriving() -> Bool {
    guard isOwnerDead else { return false }
    guard case .coming(_, isShown: true)? = record.migration?.course else {
      failArrival(nil)
      return true
    }
    // Its source has given it up.
    declare(.lost, .peerDied)
    return true
  }

  // MARK: Outcomes

  /// R77: the commit point of a migration. The guest is not here any more.
  private mutating func depart() {
    guard let migration = record.migration else { return }
    expel(record.owner)
    record.phase = .departed
    runDue = false
    runConfirmed = false
    parkDue = false
    journal()
    note(.departed(migration.id))
    arm(.migration)
  }

  /// R78: the source runs the guest on, in a new epoch; the receipt is thrown away.
  private mutating func stay(_ id: MigrationID, _ refusal: Refusal) {
    if leavingMigration?.id == id { forgetLeaving(id, refusal) } else { rememberStayed(id) }
    record.phase = .idle
    record.epoch += 1
    runDue = true
    runConfirmed = false
    disarm(.migration)
    journal()
  }

  mutating func forgetLeaving(_ id: MigrationID, _ refusal: Refusal) {
    record.migration = record.previous
    record.previous = nil
    rememberStayed(id)
    note(.migrationStayed(id, refusal))
  }

  private mutating func rememberStayed(_ id: MigrationID) {
    guard !record.stayed.contains(id) else { return }
    record.stayed = Array((record.stayed + [id]).suffix(GuestRecord.maximumStayed))
  }

  /// R86: the receipt fits and everything is here: its VMM owns the guest.
  private mutating func commitArrival() {
    guard var migration = record.migration, let owner = record.owner else { return }
    migration.course = .came
    record.migration = migration
    record.epoch += 1
    record.phase = .idle
    runDue = true
    runConfirmed = false
    cancelRelease(owner)
    disarm(.migration)
    journal()
    note(.arrivalCommitted(migration.id, owner: owner, epoch: record.epoch))
  }

  /// R84, R85: nothing came of it. A guest that had left before is as it was then.
  private mutating func failArrival(_ refusal: Refusal?) {
    let id = record.migration?.id
    disarm(.migration)
    if let left = record.previous {
      // The other one stays known, so that it does not begin again.
      record.previous = record.migration
      record.migration = left
      record.phase = .departed
      record.owner = nil
      runDue = false
      runConfirmed = false
      journal()
      if leavingMigration != nil { arm(.migration) }
    } else {
      declare(.ended, .migrationCancelled)
    }
    if let id { note(.arrivalFailed(id, refusal)) }
  }
}
