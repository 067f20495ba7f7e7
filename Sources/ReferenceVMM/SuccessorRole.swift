import Baton
import BatonWire
import LinuxOS
import SEVABI
import SEVDevice
import Systemd

/// The VMM as the guest's successor: everything is made while the guest runs elsewhere; nothing runs
/// here before the verdict.
struct SuccessorRole {
  let options: VMMOptions
  let kind: MachineKind
  let signals: SignalQueue
  let log: VMMLog
  /// Closed as soon as a baton is here.
  let early: EarlyEnd
  let patience: TimeoutExtension

  private enum Step: ~Copyable {
    case over(VMMOutcome)
    /// The attempt ended and the source offers once more.
    case offeredAgain(Offer)
  }

  /// Takes the guest over and owns it from then on.
  func take(_ first: consuming Offer) throws -> VMMOutcome {
    var pending: Offer? = consume first
    while let offer = pending.take() {
      switch try prepare(offer) {
      case .over(let outcome): return outcome
      case .offeredAgain(let next): pending = consume next
      }
    }
    return .failed
  }

  // MARK: While the guest runs at its source

  private func prepare(_ offer: consuming Offer) throws -> Step {
    log.event(
      "attached",
      [("handoff", .number(offer.handoff)), ("guestStopped", .number(offer.isGuestStopped ? 1 : 0))])
    CrashPoint.successorOffered.reached()
    if options.misbehaviour == .decline {
      log.fail("this VMM declines every offer; the guest stays where it was")
      try offer.decline(.successorDeclined, "this VMM declines every offer")
      return .over(.refused(.successorDeclined))
    }
    do {
      try offer.check()
    } catch {
      log.fail("\(error); \(Self.place(offer.isGuestStopped))")
      let refusal = refusal(of: error)
      try offer.decline(refusal, "\(error)")
      return .over(.refused(refusal))
    }
    let manifest = offer.manifest
    let handoff = offer.handoff
    let isGuestStopped = offer.isGuestStopped
    let place = Self.place(isGuestStopped)
    let taken = try offer.take()
    let parts = taken.parts
    let next = taken.next
    let instance: GuestInstance
    do {
      instance = try GuestInstance.successor(options, kind: kind, manifest: manifest, parts: parts) {
        mapping in
        // A guest that stands still is not kept waiting for pages that it can fault in itself.
        if !isGuestStopped { populate(mapping) }
        log.event("mapped")
      }
    } catch {
      log.fail("preparing to take the guest: \(error); \(place)", code: (error as? SystemError)?.code)
      let refusal = (error as? BatonError).map(refusal) ?? .successorDeclined
      try next.decline(refusal, "\(error)")
      return .over(.refused(refusal))
    }
    // What the owner will say of its guest is put together here, not between verdict and run.
    let owned = try instance.manifest()
    let prepared = try next.ready(vm: manifest.way == .move ? instance.successorVMNumber : nil)
    log.event("ready")
    if !isGuestStopped { log.status(.waitingForBaton(handoff: handoff)) }
    CrashPoint.successorReady.reached()
    switch try prepared.awaitClaim(milliseconds: options.patienceMilliseconds) {
    case .claim(let claim):
      early.close()
      return .over(try use(claim, instance, owned, offered: manifest.way))
    case .offered(let again):
      instance.machine.end()
      return .offeredAgain(again)
    case .released(let refusal):
      instance.machine.end()
      return .over(log.released(refusal))
    }
  }

  /// Where the guest is as long as this process has no baton.
  private static func place(_ isGuestStopped: Bool) -> String {
    isGuestStopped
      ? "the guest waits paused in the registry's custody for another VMM"
      : "the guest runs on at its source"
  }

  /// Makes all RAM present while the guest runs elsewhere, and tells how far that is.
  private func populate(_ mapping: SharedMapping) {
    do throws(SystemError) {
      try mapping.populate(pieces: Self.populatedAtOnce) { offset in
        log.status(.mapping(doneBytes: offset, ofBytes: mapping.byteCount))
        return true
      }
    } catch {
      log.say(
        .warning, "not all RAM could be mapped ahead, the guest maps the rest when it needs it: \(error)")
    }
    log.status(.preparing)
  }

  /// About 80 ms of work for pages that exist, in bytes.
  private static let populatedAtOnce = 512 << 20

  private func refusal(of error: BatonError) -> Refusal {
    switch error {
    case .unacceptable(let refusal, _): refusal
    case .system, .refused, .malformed, .registryUnreachable, .badState: .successorDeclined
    }
  }

  // MARK: From the baton to the verdict

  private func use(
    _ claim: consuming Claim, _ instance: GuestInstance, _ manifest: Manifest, offered: Way
  ) throws -> VMMOutcome {
    let claimedAt = MonotonicClock.now()
    CrashPoint.successorClaimed.reached()
    if options.misbehaviour == .returnBaton {
      log.fail("this VMM gives the baton back; the guest stays where it was")
      try claim.giveBack()
      return .refused(.successorDeclined)
    }
    var envelope: [UInt8]
    let state: [UInt8]
    do {
      envelope = try claim.readEnvelope()
      state = Array(envelope[StateEnvelope.headerByteCount...])
      // Everything that can be refused is refused before the baton is used up.
      _ = try MachineState(decoding: state)
    } catch {
      log.fail("\(error); the baton goes back unused, the guest stays where it was")
      try claim.giveBack()
      return .refused(.successorDeclined)
    }
    defer { SecureBytes.wipe(&envelope) }
    switch receive(&envelope, claim.vms.borrowedNumbers, instance, offered) {
    case .taken: break
    case .used:
      log.fail("the baton was used: \(Refusal.batonUsed.sentence)")
      try claim.foundUsed()
      return .refused(.batonUsed)
    case .untouched(let error):
      log.fail("\(error); the baton goes back unused, the guest stays where it was")
      try claim.giveBack()
      return .refused(.successorDeclined)
    case .unknown(let error):
      // This process's end settles who may go on.
      log.fail(
        "nobody can say whether the guest's context was taken: \(error); ask batonctl where the guest is")
      return .failed
    }
    CrashPoint.successorContextReceived.reached()
    instance.copyRAM()
    do {
      try instance.machine.restore(state)
    } catch {
      log.fail(
        "the guest's state cannot be restored after its context was received: \(error); ask batonctl where the "
          + "guest is")
      return .failed
    }
    let received = claim.received()
    CrashPoint.successorReceived.reached()
    let verdict = try received.awaitVerdict {
      log.say(
        .warning, "the registry has been gone for its deadline; the guest waits paused here, start batond")
      log.status(.registryGone)
    }
    switch consume verdict {
    case .release(let refusal):
      instance.machine.end()
      return log.released(refusal)
    case .run(let permit): return try run(permit, instance, manifest, claimedAt: claimedAt)
    }
  }

  /// - Parameter numbers: The VMs that came with the claim (way `move`).
  private func receive(
    _ envelope: inout [UInt8], _ numbers: [Int32], _ instance: GuestInstance, _ offered: Way
  ) -> SEVContext.Taking {
    guard let sev = instance.sev else { return .taken }
    switch offered {
    case .none: return .taken
    case .move: return sev.move(outOf: numbers)
    case .token:
      // A staged state without a token is one whose token was taken out before.
      guard let token = InfoToken(takingFrom: &envelope, at: StateEnvelope.batonOffset) else { return .used }
      return sev.receive(token)
    }
  }

  private func run(
    _ permit: consuming RunPermit, _ instance: GuestInstance, _ manifest: Manifest, claimedAt: UInt64
  ) throws -> VMMOutcome {
    let epoch = permit.epoch
    var failure: MachineError?
    let running = permit.run(manifest: manifest) {
      do throws(MachineError) {
        try instance.machine.run()
      } catch {
        failure = error
      }
      return instance.machine.waitForFirstInstruction(timeoutNanoseconds: 1_000_000_000) ?? 0
    }
    if let failure { log.say(.error, "the guest cannot run: \(failure)") }
    ServiceManager.ready(status: VMMStatus.running(epoch: epoch).text)
    patience.stop()
    // Said late: nothing is written while the guest stands still.
    log.event("claimed", at: claimedAt)
    log.event(
      "running",
      [("epoch", .number(epoch)), ("firstInstruction", .number(instance.machine.firstInstruction ?? 0))])
    CrashPoint.successorRunning.reached()
    return try SourceRole(instance: instance, signals: signals, log: log).own(running)
  }
}
