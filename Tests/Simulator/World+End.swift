import BatonCore
import BatonWire

/// How a run may end: P5, P8 and P9.
extension World {
  /// Nothing is possible and deadlines bring nothing: somebody who is stopped is waited for.
  ///
  /// - Returns: whether somebody was woken.
  func wakeOneThatIsWaitedFor() throws(Violation) -> Bool {
    let stopped = vmms.filter { $0.isAlive && $0.isHung }
    guard !stopped.isEmpty else { return false }
    let truth = host.truth
    if let owner = stopped.first(where: { $0.id == truth?.owner }) {
      wake(owner)
      return true
    }
    if let claimant = stopped.first(where: { $0.id == truth?.claimant }) {
      // Its death would take the context along, so only an operator may decide; with way `none`, and with
      // way `move` when its VM is in custody, it is ended as long as somebody else can go on.
      let mayWait =
        switch truth?.way {
        case .token: true
        case .move: !host.custody.ram || host.custody.successorVMs[claimant.id] == nil
        case .none?, nil: !host.custody.ram
        }
      guard mayWait else {
        throw Violation(
          property: .nothingLeft, text: "\(name(claimant.id)) hangs with the baton and is not ended")
      }
      wake(claimant)
      return true
    }
    // Who may have the baton of a lost journal is waited for.
    let isAnybodyWaitedFor = host.registry[guest]?.isClaimantUnknown ?? false
    for vmm in stopped where host.pidfds.contains(vmm.id) && !vmm.isRefused && !isAnybodyWaitedFor {
      throw Violation(property: .nothingLeft, text: "\(name(vmm.id)) hangs, is of no use, and is not ended")
    }
    wake(stopped[0])
    return true
  }

  /// The registry does not know whether anybody has run the guest since it was staged (R69): its operator finds
  /// out, and says so when it is true. When it is not, nothing of the guest is left that could be used.
  ///
  /// - Returns: whether the operator did something.
  func operatorSettles() throws(Violation) -> Bool {
    guard let machine = host.registry[guest], machine.isClaimantUnknown, host.isUp, isOperatorCalled else {
      return false
    }
    if hasNobodyRunSince {
      trace("the operator gives the word that nobody has run the guest")
      coverage.count(.operatorWords)
      try handle(.abort)
      guard !(host.registry[guest]?.isClaimantUnknown ?? false) else {
        throw Violation(property: .comesToAnEnd, text: "the operator's word settles nothing")
      }
      return true
    }
    guard let source = vmm(machine.record.owner), source.isAlive else { return false }
    trace("the operator ends \(name(source.id)), whose guest has run elsewhere and is gone")
    isFaultStep = true
    die(source)
    return true
  }

  /// Whether the state that the source staged is the guest's newest, and nobody has its baton.
  var hasNobodyRunSince: Bool {
    guard let record = host.registry[guest]?.record else { return false }
    guard !vmms.contains(where: { $0.isExecuting || $0.baton != nil }) else { return false }
    let saved = vmm(record.owner).flatMap { $0.isAlive ? $0.saved : nil } ?? host.custody.state
    // With nothing left to run from, the word does no harm: the guest is declared lost.
    guard let saved else { return true }
    return saved.clock == kernel.clock
  }

  func checkEnd() throws(Violation) {
    guard let journal = host.journal else {
      guard host.truth == nil || !vmms.contains(where: \.isAlive) else {
        throw Violation(property: .comesToAnEnd, text: "nobody came back to a registry without a journal")
      }
      return
    }
    let living = vmms.filter(\.isAlive)
    switch journal.phase {
    case .idle:
      guard let owner = vmm(journal.owner), owner.isAlive, owner.isExecuting else {
        throw Violation(property: .comesToAnEnd, text: "nobody runs the guest: \(describe(journal))")
      }
      guard living.count == 1 else {
        throw Violation(
          property: .nothingLeft,
          text: "left over beside the owner: \(living.filter { $0 !== owner }.map { name($0.id) })")
      }
      guard host.registry[guest]?.runConfirmed ?? false else {
        throw Violation(property: .comesToAnEnd, text: "the verdict was never confirmed")
      }
      try checkNothingIsKept(journal)
    case .lost, .ended:
      guard living.isEmpty else {
        throw Violation(
          property: .nothingLeft,
          text: "left over of a guest that is \(journal.phase): "
            + "\(living.map { name($0.id) })")
      }
      try checkNothingIsKept(journal)
    case .staged:
      // That the baton was used, only the next claimant can find out.
      guard living.isEmpty, host.custody.ram, isRecoverable || kernel.isEncrypted else {
        throw Violation(property: .comesToAnEnd, text: "stays staged: \(describe(journal))")
      }
      coverage.count(.parked)
    case .claimed where host.registry[guest]?.isClaimantUnknown ?? false:
      let isAnyoneElse = living.contains { $0.successor?.state != .attached }
      guard !isAnyoneElse, isOperatorCalled, !isRecoverable else {
        throw Violation(property: .comesToAnEnd, text: "nobody settles it: \(describe(journal))")
      }
      coverage.count(.unsettled)
    case .claimed, .rollback, .departing, .departed, .arriving:
      throw Violation(property: .comesToAnEnd, text: "stays \(journal.phase): \(describe(journal))")
    }
    try checkProgress(journal)
  }

  private func checkNothingIsKept(_ journal: GuestRecord) throws(Violation) {
    guard host.custody == HeldDescriptors() else {
      throw Violation(property: .nothingLeft, text: "custody keeps \(host.custody)")
    }
    guard journal.leaving.isEmpty, journal.claimant == nil else {
      throw Violation(property: .nothingLeft, text: "the journal keeps \(describe(journal))")
    }
  }

  /// P9: where nothing went wrong, every attempt is committed.
  private func checkProgress(_ journal: GuestRecord) throws(Violation) {
    guard settings.faults == 0, settings.breakage == nil else { return }
    let attempts = UInt64(vmms.count - 1)
    // The last owner may have been parked with nobody to come, and one whose guest cannot outlive it goes on.
    let isParked = journal.phase == .staged && settings.parks > 0
    let handoffs = settings.parks == 0 ? attempts...attempts : attempts...(attempts + UInt64(settings.parks))
    guard journal.phase == .idle || isParked, handoffs.contains(journal.handoff),
      journal.epoch == attempts + 1
    else {
      throw Violation(
        property: .progress, text: "\(attempts) successors without a fault: \(describe(journal))")
    }
  }

  /// Whatever happened before, the next handoff without a fault succeeds, a parked guest is taken,
  /// and a guest that is gone begins anew.
  func probe() throws(Violation) {
    if host.registry[guest]?.isClaimantUnknown ?? false { return }
    let before = host.journal
    let mayBeUsed = before?.phase == .staged && !isRecoverable
    trace("one more comes, without a fault")
    let next = spawn()
    try runUntilQuiet()
    if mayBeUsed, host.journal?.phase == .lost {
      return try checkEnd()
    }
    guard let journal = host.journal, journal.phase == .idle, journal.owner == next.id, next.isExecuting,
      journal.epoch > (before?.epoch ?? 0)
    else {
      throw Violation(
        property: .progress,
        text: "after \(before.map(describe) ?? "nothing") the next successor did not get the guest: "
          + (host.journal.map(describe) ?? "no journal"))
    }
    coverage.count(.probesCommitted)
    try checkEndOfProbe(next)
  }

  private func checkEndOfProbe(_ next: VMM) throws(Violation) {
    for vmm in vmms where vmm.isAlive && vmm !== next {
      throw Violation(property: .nothingLeft, text: "\(name(vmm.id)) is left over after one more handoff")
    }
    guard host.custody == HeldDescriptors() else {
      throw Violation(property: .nothingLeft, text: "custody keeps \(host.custody) after one more handoff")
    }
  }

  func describe(_ record: GuestRecord) -> String {
    "\(record.phase), owner \(name(record.owner)), epoch \(record.epoch), handoff \(record.handoff), "
      + "claimant \(name(record.claimant)), leaving \(record.leaving.map { name($0) })"
  }
}
