import BatonCore
import BatonWire
package import LinuxOS

/// The successor's turns.
extension Participant {
  func successorEvent() throws -> Event? {
    if let outcome = try reconnected() { return outcome }
    let action: Successor.Action?
    do throws(BatonError) {
      action = try link.nextSuccessorAction(until: 0)
    } catch .refused(let refusal, let text) {
      lastRefusal = (refusal, text)
      return over(refusal)
    }
    switch action {
    case .prepare(let handoff, let manifest, let isGuestStopped):
      return try take(handoff, manifest, isGuestStopped: isGuestStopped)
    case .claim(let handoff, let stage): return try take(handoff, stage)
    case .run(let epoch, let isFresh):
      phase = .permitted(epoch: epoch, isFresh: isFresh)
      return isFresh ? .start(epoch: epoch) : .run(epoch: epoch)
    case .release(let refusal): return over(refusal)
    case nil: return nil
    }
  }

  /// An offer that fails a check is declined at once: nothing of it was mapped.
  private func take(
    _ handoff: UInt64, _ manifest: Manifest, isGuestStopped: Bool
  ) throws -> Event? {
    let offer = Offer(
      link: link, handoff: handoff, manifest: manifest, isGuestStopped: isGuestStopped,
      descriptors: link.takeDescriptors())
    do throws(BatonError) {
      try offer.check()
    } catch .unacceptable(let refusal, let text) {
      lastRefusal = (refusal, text)
      try offer.decline(refusal, text)
      return nil
    }
    let taken = try offer.take()
    forgetOffer()
    self.manifest = manifest
    self.isGuestStopped = isGuestStopped
    ram = taken.parts.ram
    named = taken.parts.named
    if let descriptor = taken.parts.vm { vm.append(descriptor) }
    phase = .offered(handoff)
    return .offered(handoff: handoff)
  }

  /// A state that is damaged is given back at once: the baton was not used.
  private func take(_ handoff: UInt64, _ stage: Stage) throws -> Event? {
    var list = link.takeDescriptors()
    guard let memfd = list.popFirst() else { return nil }
    let claim = Claim(link: link, handoff: handoff, stage: stage, memfd: memfd, vms: list)
    do throws(BatonError) {
      envelope = try claim.readEnvelope()
    } catch {
      lastRefusal = (.malformedRecord, "\(error)")
      try sayGaveBack(claim)
      return nil
    }
    self.claim = consume claim
    phase = .claiming(handoff)
    return .claim(handoff: handoff)
  }

  func forgetOffer() {
    ram = DescriptorList()
    vm = DescriptorList()
    named = DescriptorList()
  }

  func forgetClaim() {
    SecureBytes.wipe(&envelope)
    envelope = []
    claim = nil
  }

  // MARK: Answers to an offer

  /// A second descriptor of an offered RAM file.
  package func takeRAM(_ index: Int) throws -> OwnedDescriptor {
    try take(ram.borrowedNumbers, index, "this RAM file")
  }

  /// A second descriptor of the source's VM.
  package func takeVM() throws -> OwnedDescriptor { try take(vm.borrowedNumbers, 0, "the source's VM") }

  /// A second descriptor of what was offered under a name.
  package func takeNamed(_ name: String) throws -> OwnedDescriptor {
    guard let index = manifest?.names.firstIndex(of: name) else {
      throw Failure.absent("a descriptor named \(name)")
    }
    return try take(named.borrowedNumbers, index, "the descriptor named \(name)")
  }

  private func take(_ numbers: [Int32], _ index: Int, _ what: String) throws -> OwnedDescriptor {
    switch phase {
    case .offered, .prepared, .claiming, .received, .permitted: break
    case .new, .attached, .running, .frozen, .staged, .takingBack, .tookBack, .returned, .leaving, .departing,
      .departed, .awaiting, .arriving, .arrived, .over:
      throw Failure.outOfTurn(phase)
    }
    guard numbers.indices.contains(index) else { throw Failure.absent(what) }
    var list = try DescriptorList(duplicating: [numbers[index]])
    guard let descriptor = list.popFirst() else { throw Failure.absent(what) }
    return descriptor
  }

  /// Everything that takes time is done.
  ///
  /// - Parameter vm: Way `move`: the borrowed VM into which this process takes the context.
  package func ready(vm number: Int32?) throws {
    guard case .offered(let handoff) = phase else { throw Failure.outOfTurn(phase) }
    _ = try Preparing(link: link, handoff: handoff, isGuestStopped: isGuestStopped).ready(vm: number)
    phase = .prepared(handoff)
  }

  /// Source or successor cannot take part in this attempt.
  package func decline(_ text: String) throws {
    switch phase {
    case .offered(let handoff):
      forgetOffer()
      try Preparing(link: link, handoff: handoff, isGuestStopped: isGuestStopped).decline(
        .successorDeclined, text)
      phase = .returned(handoff)
    case .running:
      guard let handoff = asked else { throw Failure.outOfTurn(phase) }
      asked = nil
      var guest = RunningGuest(link: link)
      try guest.decline(handoff: handoff, .sourceDeclined, text)
    case .new, .attached, .prepared, .claiming, .received, .permitted, .frozen, .staged, .takingBack,
      .tookBack, .returned, .leaving, .departing, .departed, .awaiting, .arriving, .arrived, .over:
      throw Failure.outOfTurn(phase)
    }
  }

  // MARK: Answers to a claim

  /// The device state as the source wrote it.
  package var claimedState: ArraySlice<UInt8>? {
    guard case .claiming = phase else { return nil }
    return envelope[StateEnvelope.headerByteCount...]
  }

  /// Way `token`: the baton, little-endian. Wipe it when it was used.
  package var claimedBaton: ArraySlice<UInt8>? {
    guard case .claiming = phase, manifest?.way == .token else { return nil }
    return envelope[StateEnvelope.batonOffset..<StateEnvelope.batonOffset + 8]
  }

  /// Way `move`: borrowed VMs out of which the context may be moved, in the order in which to try.
  package var contextVMs: [Int32] {
    switch phase {
    case .claiming:
      guard let held = claim.take() else { return [] }
      let numbers = held.vms.borrowedNumbers
      claim = consume held
      return numbers
    case .takingBack: return takeBackVMs.borrowedNumbers
    case .new, .attached, .offered, .prepared, .received, .permitted, .running, .frozen, .staged, .tookBack,
      .returned, .leaving, .departing, .departed, .awaiting, .arriving, .arrived, .over:
      return []
    }
  }

  /// The context is in this process and the state is restored.
  package func received() throws {
    guard case .claiming(let handoff) = phase else { throw Failure.outOfTurn(phase) }
    phase = .received(handoff)
    rearmAlarm()
    forgetClaim()
    link.tell(link.changeSuccessor { $0.received() })
  }

  /// The kernel says that the baton is used.
  package func foundUsed() throws {
    guard case .claiming(let handoff) = phase else { throw Failure.outOfTurn(phase) }
    phase = .returned(handoff)
    forgetClaim()
    link.tell(link.changeSuccessor { $0.foundUsed() })
  }

  /// The baton was not used.
  package func giveBack() throws {
    guard case .claiming = phase, let held = claim.take() else { throw Failure.outOfTurn(phase) }
    try sayGaveBack(held)
  }

  private func sayGaveBack(_ claim: consuming Claim) throws {
    phase = .returned(claim.handoff)
    let message = link.changeSuccessor { $0.returnedBaton() }
    link.presentClaim(claim.memfd, claim.vms)
    forgetClaim()
    link.tell(message)
  }
}
