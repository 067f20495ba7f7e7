import BatonCore
import BatonWire

/// What must hold at every step, and what must hold in the end.
extension World {
  // MARK: Single moments

  /// P1, P2, P3, P6 and P7, when a process enters KVM_RUN.
  func checkEntry(_ vmm: VMM, from saved: SavedState?, epoch: UInt64?) throws(Violation) {
    let who = name(vmm.id)
    for other in vmms where other.isExecuting && other !== vmm {
      throw Violation(property: .oneRunner, text: "\(who) enters beside \(name(other.id))")
    }
    if let journal = host.journal {
      guard journal.owner == vmm.id, journal.phase == .idle else {
        throw Violation(
          property: .runsByVerdict,
          text: "\(who) enters, the journal says \(journal.phase), owner \(name(journal.owner))")
      }
      if let epoch, epoch != journal.epoch {
        throw Violation(
          property: .runsByVerdict, text: "\(who) enters in epoch \(epoch), it is \(journal.epoch)")
      }
    } else if epoch != nil {
      throw Violation(property: .runsByVerdict, text: "\(who) has a verdict that no journal knows")
    }
    if let saved, saved.clock != kernel.clock {
      throw Violation(
        property: .newestState,
        text: "\(who) enters from a state of clock \(saved.clock), the guest was at \(kernel.clock)")
    }
    guard kernel.isIn(vmm.vm), vmm.hasRAM else {
      throw Violation(property: .contextIsThere, text: "\(who) enters without the guest's context")
    }
    for other in vmms where other !== vmm && !hasSettledEarly && holdsLiveBaton(other) {
      throw Violation(
        property: .oneClaimant, text: "\(who) enters while \(name(other.id)) has a baton that is good")
    }
  }

  /// P3, when the baton is given out.
  func checkClaim(_ handoff: UInt64, _ state: SavedState, to process: ProcessID) throws(Violation) {
    for other in vmms where other.id != process && !hasSettledEarly && holdsLiveBaton(other) {
      throw Violation(
        property: .oneClaimant,
        text: "\(name(process)) is given the baton of \(handoff), \(name(other.id)) has one that is good")
    }
  }

  /// Has, or will read, a baton that the kernel would still honour.
  private func holdsLiveBaton(_ vmm: VMM) -> Bool {
    guard vmm.isAlive else { return false }
    if isGood(vmm.baton, vmm.movableVMs) { return true }
    guard let link = vmm.link, link.isOpenAtVMM else { return false }
    return link.toVMM.contains { order in
      guard case .claim = order.message else { return false }
      return isGood(order.descriptors.state, order.descriptors.contextVMs)
    }
  }

  /// P11
  func checkCustody() throws(Violation) {
    guard let machine = host.registry[guest], !breaks(.emptyCustodyEarly) else { return }
    let believed = machine.custody
    guard believed.hasRAM == host.custody.ram, believed.hasVM == (host.custody.vm != nil),
      !believed.hasState || host.custody.state != nil,
      believed.hasTakeBackVM == (host.custody.takeBackVM != nil),
      believed.hasReturnedVMs == !host.custody.returnedVMs.isEmpty,
      believed.successors == Set(host.custody.successorVMs.keys)
    else {
      throw Violation(
        property: .custody,
        text: "the machine believes \(believed); custody has \(host.custody)")
    }
  }

  /// P10: a number that is given out is above all before.
  func checkIsNewest(_ number: UInt64, _ last: inout UInt64) throws(Violation) {
    guard number > last else {
      throw Violation(property: .numbers, text: "\(number) is given out after \(last)")
    }
    last = number
  }

  // MARK: Every step

  func checkStep() throws(Violation) {
    collect()
    var runners = 0
    for vmm in vmms where vmm.isExecuting {
      runners += 1
      // Without a journal a registry has to hear everybody before it knows.
      if !host.registry.isSettling, let journal = host.journal,
        journal.owner != vmm.id || journal.phase != .idle
      {
        throw Violation(
          property: .runsByVerdict,
          text: "\(name(vmm.id)) runs, the journal says \(journal.phase), owner \(name(journal.owner))")
      }
    }
    guard runners < 2 else { throw Violation(property: .oneRunner, text: "\(runners) run at once") }
    let isRecoverable = self.isRecoverable
    if wasRecoverable, !isRecoverable, !isFaultStep, !endedByOwner, !hasSettledEarly {
      throw Violation(
        property: .nothingLost,
        text: "the guest could have gone on before this step and cannot any more (context "
          + "\(kernel.context), \(host.truth.map { "\($0.phase)" } ?? "no journal"))")
    }
    if wasRecoverable, !isRecoverable, isFaultStep { try checkDeath() }
    if isRecoverable != wasRecoverable { trace(isRecoverable ? "(recoverable)" : "(not recoverable)") }
    wasRecoverable = isRecoverable
  }

  /// The failure table: with what is in custody, the source's death after `stage` loses nothing.
  private func checkDeath() throws(Violation) {
    guard let truth = host.truth, host.isUp,
      host.deaths == 0 || settings.storesCustody && !settings.mayLoseJournal
    else { return }
    switch truth.phase {
    case .staged, .claimed:
      guard let owner = vmm(truth.owner), !owner.isAlive, truth.way != .token || settings.hasCustody else {
        return
      }
      // A claimant that has the context is the only one: its death is in the table too.
      guard kernel.vmWithContext == nil || isGood(host.custody.state, host.custody.vms) else { return }
      guard !kernel.isEncrypted || kernel.vmWithContext != nil else { return }
      throw Violation(
        property: .nothingLost, text: "the source's death in \(truth.phase) took the guest along")
    case .idle, .rollback, .lost, .ended, .departing, .departed, .arriving: return
    }
  }

  /// Destroys what nobody refers to any more.
  private func collect() {
    guard let vm = kernel.vmWithContext else { return }
    for vmm in vmms where vmm.refers(to: vm) { return }
    if host.isUp, host.custody.vms.contains(vm) { return }
    if let stored = host.stored, stored.held.vms.contains(vm) { return }
    for vmm in vmms {
      for link in host.links[vmm.id] ?? [] {
        for record in link.toRegistry where record.descriptors.vms.contains(vm) { return }
      }
      guard let link = vmm.link, link.isOpenAtVMM else { continue }
      for order in link.toVMM where order.descriptors.vms.contains(vm) { return }
    }
    for held in host.held where held.2.descriptors.vms.contains(vm) { return }
    trace("(the kernel destroys \(kernel.context))")
    kernel.destroyContext()
  }

  // MARK: Whether the guest can go on

  /// Whether somebody who still counts has all it takes for the guest to go on.
  var isRecoverable: Bool {
    guard let truth = host.truth else { return false }
    switch truth.phase {
    case .lost, .ended, .departing, .departed, .arriving: return false
    case .idle:
      if let owner = vmm(truth.owner), canGoOn(owner) { return true }
      return hasSentWhatItTakes(truth.owner)
    case .staged, .claimed, .rollback:
      if let owner = vmm(truth.owner), canGoOn(owner) { return true }
      if let claimant = vmm(truth.claimant), canGoOn(claimant) { return true }
      // Without a journal the registry hears only now who the claimant is.
      if host.registry.isSettling || host.journalIsGone { for vmm in vmms where canGoOn(vmm) { return true } }
      if host.isUp, host.custody.ram, isGood(host.custody.state, host.custody.vms) { return true }
      if !host.isUp, !host.journalIsGone, let stored = host.stored, stored.restored(truth) != nil,
        isGood(stored.held.state, stored.held.vms)
      {
        return true
      }
      return hasSentWhatItTakes(truth.owner) || hasSentWhatItTakes(truth.claimant)
    }
  }

  /// Whether who has this state and descriptors of these VMs could go on.
  private func isGood(_ state: SavedState?, _ vms: [Int]) -> Bool {
    guard let state, state.clock == kernel.clock else { return false }
    return kernel.isUsable(state.token, vms)
  }

  private func canGoOn(_ vmm: VMM) -> Bool {
    guard vmm.isAlive, !vmm.isSentenced, !vmm.gaveUp else { return false }
    if vmm.isExecuting { return true }
    if let source = vmm.source {
      guard let saved = vmm.saved, saved.clock == kernel.clock else { return false }
      switch source.state {
      case .running, .released: return false
      case .frozen: return kernel.isIn(vmm.vm)
      case .contextSent, .staged: return kernel.isUsable(saved.token, vmm.movableVMs)
      case .tookBack: return kernel.isIn(vmm.vm)
      }
    }
    switch vmm.successor?.state {
    case .received: return vmm.given?.clock == kernel.clock && kernel.isIn(vmm.vm)
    case .claiming: return vmm.hasRAM && isGood(vmm.given, vmm.movableVMs)
    case .refused(_, let returned):
      return returned != nil && vmm.hasRAM && isGood(vmm.given, vmm.movableVMs)
    case .prepared:
      return vmm.link?.toVMM.contains { order in
        guard case .claim = order.message else { return false }
        return isGood(order.descriptors.state, order.descriptors.contextVMs)
      } ?? false
    // The first owner has its verdict coming.
    case .attached: return host.truth?.owner == vmm.id && host.truth?.phase == .idle
    case .running, .released, nil: return false
    }
  }

  /// Its records that the registry has not processed bring what it takes.
  private func hasSentWhatItTakes(_ process: ProcessID?) -> Bool {
    guard host.isUp, let process, let links = host.links[process] else { return false }
    return links.contains { link in
      link.toRegistry.contains { record in
        (record.descriptors.ram || host.custody.ram)
          && isGood(record.descriptors.state, record.descriptors.vms + host.custody.vms)
      }
    }
      || host.held.contains { held in
        let brought = held.2.descriptors
        return held.0 == process && brought.ram && isGood(brought.state, brought.vms)
      }
  }
}
