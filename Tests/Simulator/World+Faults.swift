import BatonCore
import BatonWire

/// What goes wrong, and what operators and VMMs may do at any moment.
extension World {
  enum Fault: CaseIterable {
    case killOwner, killCandidate, killAny, hangOwner, hangCandidate, hangAny
    case breakOwner, breakCandidate, breakAny, crashRegistry, crashBetweenEffects, loseJournal
    case settleEarly, abort, deadline, goOn, returnBaton, declineAsSource, declineAsSuccessor, endGuest
  }

  func injectFault() throws(Violation) {
    // Not every fault is possible at every moment.
    for _ in 0..<6 {
      if try happens(random.pick(Fault.allCases)) {
        faultsLeft -= 1
        return
      }
    }
  }

  private func happens(_ fault: Fault) throws(Violation) -> Bool {
    let owner = vmm(host.truth?.owner)
    let machine = host.registry[guest]
    let candidate = vmm(host.truth?.claimant ?? machine?.candidate)
    let anybody = vmms[random.below(vmms.count)]
    return
      switch fault
    {
    case .killOwner: kill(owner)
    case .killCandidate: kill(candidate)
    case .killAny: kill(anybody)
    case .hangOwner: hang(owner)
    case .hangCandidate: hang(candidate)
    case .hangAny: hang(anybody)
    case .breakOwner: breakConnection(owner)
    case .breakCandidate: breakConnection(candidate)
    case .breakAny: breakConnection(anybody)
    case .crashRegistry: crashRegistryByFault()
    case .crashBetweenEffects: crashBetweenEffects()
    case .loseJournal: loseJournal()
    case .settleEarly: try settleEarly()
    case .abort: try abort()
    case .deadline: try passDeadline()
    case .goOn: try goOnByItself(owner)
    case .returnBaton: returnBaton(candidate)
    case .declineAsSource: decline(owner, .sourceDeclined)
    case .declineAsSuccessor: decline(candidate, .successorDeclined)
    case .endGuest: endGuest(owner)
    }
  }

  private func kill(_ vmm: VMM?) -> Bool {
    guard let vmm, vmm.isAlive else { return false }
    trace("FAULT: \(name(vmm.id)) is killed")
    coverage.count(.kills)
    isFaultStep = true
    die(vmm)
    return true
  }

  private func hang(_ vmm: VMM?) -> Bool {
    guard let vmm, vmm.works, !host.registry.isSettling else { return false }
    trace("FAULT: \(name(vmm.id)) is stopped")
    coverage.count(.hangs)
    vmm.isHung = true
    return true
  }

  /// The connection breaks at the VMM's end; what was on its way to it is gone, what it had sent is
  /// gone or is still read.
  private func breakConnection(_ vmm: VMM?) -> Bool {
    guard let vmm, vmm.works, vmm.isConnected, let link = vmm.link else { return false }
    trace("FAULT: the connection of \(name(vmm.id)) breaks")
    coverage.count(.breaks)
    isFaultStep = true
    link.isOpenAtVMM = false
    if !breaks(.deliverStaleRecords) { link.toVMM = [] }
    if random.once(in: 2) { link.toRegistry = [] }
    return true
  }

  private func crashRegistryByFault() -> Bool {
    guard host.isUp, !host.registry.isSettling else { return false }
    crashRegistry()
    return true
  }

  private func crashBetweenEffects() -> Bool {
    guard host.isUp, !host.registry.isSettling, !host.crashesInNextEvent else { return false }
    trace("FAULT: the registry will die between two effects of its next event")
    host.crashesInNextEvent = true
    return true
  }

  /// Somebody cleaned /run, and the registry is started again. A stopped VMM could not come back in
  /// time to say what it knows, so there is none in these runs.
  private func loseJournal() -> Bool {
    guard settings.mayLoseJournal, host.isUp, host.journal != nil, !host.registry.isSettling,
      !vmms.contains(where: { $0.isHung })
    else { return false }
    trace("FAULT: the journal is deleted")
    coverage.count(.journalsLost)
    crashRegistry()
    host.journalIsGone = true
    // What the old registry had sent is not read any more by those who find it gone.
    for vmm in vmms { vmm.link?.toVMM = [] }
    return true
  }

  /// The time to come back is over before everybody did. Then the guest may be lost, but nobody may run
  /// beside another one all the same. (Of a runner that nobody has heard of, no registry can know.)
  private func settleEarly() throws(Violation) -> Bool {
    guard host.isUp, host.registry.isSettling, !canSettle, host.journal != nil,
      !vmms.contains(where: { $0.isExecuting && !($0.link?.saidHello ?? false) })
    else { return false }
    trace("FAULT: the time to come back is over")
    coverage.count(.settledEarly)
    hasSettledEarly = true
    try settle()
    return true
  }

  private func abort() throws(Violation) -> Bool {
    guard host.isUp, host.attemptIsRunning else { return false }
    // To abort is then the operator's word that nobody has run the guest: nobody gives it when it is not true.
    guard !(host.registry[guest]?.isClaimantUnknown ?? false) || hasNobodyRunSince else { return false }
    trace("FAULT: the operator aborts")
    coverage.count(.operatorAborts)
    try handle(.abort)
    return true
  }

  private func passDeadline() throws(Violation) -> Bool {
    guard let passing = randomDeadline() else { return false }
    trace("FAULT: a deadline passes")
    try pass(passing.0, passing.1)
    return true
  }

  private func goOnByItself(_ vmm: VMM?) throws(Violation) -> Bool {
    guard let vmm, vmm.works, let source = vmm.source else { return false }
    switch source.state {
    case .frozen, .contextSent: break
    case .running, .staged, .tookBack, .released: return false
    }
    trace("FAULT: \(name(vmm.id)) goes on by itself")
    try goOn(vmm, takeContextBack: source.state == .contextSent)
    say(vmm, .resumed(handoff: source.handoff))
    return true
  }

  private func returnBaton(_ vmm: VMM?) -> Bool {
    guard let vmm, vmm.works, case .claiming = vmm.successor?.state else { return false }
    guard let message = vmm.successor?.returnedBaton() else { return false }
    trace("FAULT: \(name(vmm.id)) gives the baton back")
    coverage.count(.returnedBatons)
    if vmm.claimLink === vmm.link {
      vmm.saying = message
    } else {
      // The registry that gave it may have died, and its descriptors with it: only the first record
      // of a connection brings them back.
      vmm.link?.isOpenAtVMM = false
      vmm.link?.toVMM = []
    }
    return true
  }

  private func decline(_ vmm: VMM?, _ refusal: Refusal) -> Bool {
    guard let vmm, vmm.works, vmm.isConnected, let handoff = vmm.preparing else { return false }
    trace("FAULT: \(name(vmm.id)) declines")
    coverage.count(refusal == .sourceDeclined ? .sourceDeclined : .successorDeclined)
    vmm.preparing = nil
    say(vmm, .declined(handoff: handoff, refusal, ""))
    return true
  }

  /// The guest shuts down. Its end is said once it stands still, and the process waits for release.
  private func endGuest(_ vmm: VMM?) -> Bool {
    guard let vmm, vmm.works, vmm.isExecuting, vmm.isConnected, random.once(in: 4),
      let source = vmm.source, host.truth?.owner == vmm.id
    else { return false }
    trace("FAULT: the guest ends itself")
    vmm.isExecuting = false
    endedByOwner = true
    isFaultStep = true
    say(vmm, .ended(epoch: source.epoch))
    vmm.gaveUp = true
    return true
  }
}
