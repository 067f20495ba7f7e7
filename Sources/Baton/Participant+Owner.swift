import BatonCore
package import BatonWire
import LinuxOS

/// The owner's turns.
extension Participant {
  func ownerTurn() throws -> Turn? {
    var guest = RunningGuest(link: link)
    switch try guest.process() {
    case .prepare(let handoff):
      asked = handoff
      // What was to be frozen before belonged to an older attempt.
      freeze = nil
      return .tell(.prepare(handoff: handoff))
    case .freeze(let handoff):
      freeze = (handoff, MonotonicClock.now())
      return .tell(.freeze(handoff: handoff))
    case .attemptOver(let handoff):
      asked = nil
      freeze = nil
      return .tell(.attemptOver(handoff: handoff))
    case .preflight: return .tell(.preflight)
    case .migrate(let order): return .migration(.ordered(order))
    case .cancelMigration(let id): return .migration(.cancelled(id))
    case .release(let refusal): return .tell(over(refusal))
    case nil: return nil
    }
  }

  func stagedEvent() throws -> Event? {
    if let outcome = try reconnected() { return outcome }
    guard let message = try link.receive(until: 0) else { return nil }
    if case .refusal(let refusal, let text) = message {
      lastRefusal = (refusal, text)
      link.disconnect()
      return refusal.endsOwnership ? over(refusal) : nil
    }
    rearmAlarm()
    guard case .source(var source) = link.side else { throw Failure.outOfTurn(phase) }
    let action = source.take(message)
    link.side = .source(source)
    switch action {
    case .takeBack(let handoff):
      takeBackVMs = link.takeDescriptors()
      phase = .takingBack(handoff)
      return .takeBack(handoff: handoff)
    case .sayTookBack(let handoff):
      link.tell(.tookBack(handoff: handoff))
      return nil
    case .run(let epoch):
      phase = .permitted(epoch: epoch, isFresh: false)
      return .run(epoch: epoch)
    case .release(let refusal): return over(refusal)
    case .prepare, .freeze, .goOn, .sayResumed, .sayRunning, nil: return nil
    }
  }

  // MARK: Running

  /// The guest runs, by the verdict that came just now.
  ///
  /// - Parameter firstInstruction: `CLOCK_MONOTONIC` in nanoseconds, 0 if unknown.
  package func running(_ manifest: Manifest, firstInstruction: UInt64) throws {
    guard case .permitted(let epoch, let isFresh) = phase else {
      throw isOwnerWithoutVerdict ? Failure.mayNotRun(phase) : Failure.outOfTurn(phase)
    }
    phase = .running
    asked = nil
    freeze = nil
    takeBackVMs = DescriptorList()
    forgetOffer()
    forgetClaim()
    _ = RunPermit(link: link, epoch: epoch, isFresh: isFresh).run(manifest: manifest) { firstInstruction }
  }

  /// Whether what is missing is the verdict and not the turn.
  private var isOwnerWithoutVerdict: Bool {
    switch phase {
    case .received, .frozen, .staged, .takingBack, .tookBack, .claiming, .returned, .leaving, .departing,
      .departed, .arriving, .arrived, .over:
      true
    case .new, .attached, .offered, .prepared, .permitted, .running, .awaiting: false
    }
  }

  /// Offers the guest to the successor, while it runs.
  package func offer(
    _ manifest: Manifest, ram: [Int32], vm: Int32?, named: [Int32], takeBackVM: Int32?
  ) throws {
    guard case .running = phase, let handoff = asked else { throw Failure.outOfTurn(phase) }
    var guest = RunningGuest(link: link)
    try guest.offer(handoff: handoff, manifest, ram: ram, vm: vm, named: named, takeBackVM: takeBackVM)
    asked = nil
  }

  package func report(_ checks: [PreflightCheck]) throws {
    switch phase {
    case .running, .leaving: break
    case .new, .attached, .offered, .prepared, .claiming, .received, .permitted, .frozen, .staged,
      .takingBack,
      .tookBack, .returned, .departing, .departed, .awaiting, .arriving, .arrived, .over:
      throw Failure.outOfTurn(phase)
    }
    var guest = RunningGuest(link: link)
    try guest.report(checks)
  }

  /// Asks for custody, because this process is to be replaced.
  package func park() throws {
    guard case .running = phase else { throw Failure.outOfTurn(phase) }
    var guest = RunningGuest(link: link)
    guest.park()
  }

  package func end() throws {
    guard case .running = phase else { throw Failure.outOfTurn(phase) }
    phase = .over(nil)
    RunningGuest(link: link).end()
  }

  // MARK: Freeze and stage

  /// The vCPUs stand still, as ordered.
  package func froze() throws {
    guard case .running = phase, let order = freeze.take() else { throw Failure.outOfTurn(phase) }
    frozen = RunningGuest(link: link).freeze(handoff: order.handoff, since: order.since)
    phase = .frozen(order.handoff, hasContext: true)
  }

  /// Way `token`: LOCAL_SEND was done.
  package func gaveUpContext() throws {
    guard case .frozen(let handoff, hasContext: true) = phase, link.manifest?.way == .token else {
      throw Failure.outOfTurn(phase)
    }
    frozen?.gaveUpContext()
    phase = .frozen(handoff, hasContext: false)
  }

  /// The guest goes on here; its vCPUs may run once this has returned.
  package func resume() throws {
    guard case .frozen = phase, let held = frozen.take() else {
      throw isOwnerWithoutVerdict ? Failure.mayNotRun(phase) : Failure.outOfTurn(phase)
    }
    phase = .running
    _ = held.goOn {}
  }

  /// Gives baton and state away.
  ///
  /// - Parameter baton: Way `token`: its 8 bytes, little-endian; else empty.
  package func stage(state: [UInt8], baton: [UInt8], lastInstruction: UInt64) throws {
    guard case .frozen(let handoff, let hasContext) = phase, hasContext == baton.isEmpty,
      hasContext == (link.manifest?.way != .token), let held = frozen.take()
    else { throw Failure.outOfTurn(phase) }
    let since = held.since
    do {
      _ = try held.stage(state: state, lastInstruction: lastInstruction) { envelope in
        for (index, byte) in baton.enumerated() { envelope[StateEnvelope.batonOffset + index] = byte }
      }
    } catch {
      // Nothing has left the process: the guest stands still as before.
      if case .source(let source) = link.side, source.state != .staged {
        frozen = FrozenGuest(link: link, handoff: handoff, since: since)
      } else {
        phase = .staged(handoff)
        rearmAlarm()
      }
      throw error
    }
    phase = .staged(handoff)
    rearmAlarm()
  }

  /// How the order to take the guest back went.
  package func tookBack(_ succeeded: Bool) throws {
    guard case .takingBack(let handoff) = phase, case .source(var source) = link.side else {
      throw Failure.outOfTurn(phase)
    }
    let answer = source.tookBack(succeeded)
    link.side = .source(source)
    phase = succeeded ? .tookBack(handoff) : .staged(handoff)
    rearmAlarm()
    takeBackVMs = DescriptorList()
    link.tell(answer)
  }
}
