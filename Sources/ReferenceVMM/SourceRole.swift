import Baton
import BatonWire
import LinuxOS
import RemoteMigration
import SEVABI
import Systemd

/// The VMM as the guest's owner: it runs the guest, hands it over when asked, and takes it back only
/// when ordered.
final class SourceRole {
  let instance: GuestInstance
  let signals: SignalQueue
  let log: VMMLog
  /// The handoff that is being prepared, of which nothing is frozen yet.
  private(set) var attempt: UInt64?
  /// The migration to another host that is under way and has not departed.
  var migration: SourceMigration?
  /// What a signal asked for.
  var stop: StopPlan?
  /// Keeps the service manager from killing a guest that waits to be parked.
  var patience: TimeoutExtension?

  init(instance: GuestInstance, signals: SignalQueue, log: VMMLog) {
    self.instance = instance
    self.signals = signals
    self.log = log
  }

  /// Runs until the guest is released or ends; how the process's life ended.
  func own(_ guest: consuming RunningGuest) throws -> VMMOutcome {
    var guest: RunningGuest? = consume guest
    while var running = guest.take() {
      if let order = try running.process() {
        switch try carryOut(order, consume running) {
        case .goesOn(let next): guest = consume next
        case .over(let outcome): return outcome
        }
        continue
      }
      switch signals.next() {
      case .terminate: takeUp(.terminate)
      case .interrupt: takeUp(.interrupt)
      case .report: log.report(instance)
      case nil: break
      }
      if stop != nil, migration != nil {
        try giveUp(MigrationFailure(.migrationCancelled, "the source's VMM was asked to stop"), &running)
      }
      if let stop, let reason = try advance(stop, &running) {
        try end(consume running, reason)
        return .ended
      }
      if let failure = instance.machine.failure { log.sayOnce(.error, "the guest cannot go on: \(failure)") }
      guard let migration else {
        try signals.wait(
          also: running.descriptor,
          timeoutNanoseconds: waitingTime(isConnected: running.descriptor >= 0))
        guest = consume running
        continue
      }
      switch try step(migration, consume running) {
      case .goesOn(let next): guest = try pause(self.migration, consume next)
      case .over(let outcome): return outcome
      }
    }
    return .failed
  }

  /// Waits for whatever comes next while a migration is under way.
  private func pause(
    _ migration: SourceMigration?, _ running: consuming RunningGuest
  ) throws -> RunningGuest {
    guard let migration else { return running }
    let interest = migration.outgoing.interest
    let times = [
      migration.outgoing.waitNanoseconds, waitingTime(isConnected: running.descriptor >= 0) ?? .max,
    ]
    try signals.wait(
      also: [
        Poller.Interest(running.descriptor),
        Poller.Interest(interest.number, readable: true, writable: interest.writes),
      ], timeoutNanoseconds: times.min(), awakeUntil: migration.awakeUntil)
    return running
  }

  private func carryOut(
    _ order: RunningGuest.Order, _ guest: consuming RunningGuest
  ) throws -> Next {
    switch order {
    case .prepare(let handoff):
      try giveUpForHandoff(&guest)
      try offer(handoff, &guest)
    case .attemptOver(let handoff):
      attemptEnded(epoch: guest.epoch)
      instance.dropTakeBack()
      log.event("attemptOver", [("handoff", .number(handoff))])
    case .preflight: try guest.report(Preflight(instance).checks())
    case .release(let refusal): return .over(release(refusal))
    case .freeze(let handoff):
      try giveUpForHandoff(&guest)
      return try handOver(guest, handoff)
    case .migrate(let order): try begin(order, &guest)
    case .cancelMigration(let id):
      let failure = MigrationFailure(.migrationCancelled, "an operator ended the migration")
      if migration?.id == id { try giveUp(failure, &guest) } else { try stay(id, failure, &guest) }
    }
    return .goesOn(guest)
  }

  /// Only a registry that lost its journal orders a handoff while a migration is under way.
  private func giveUpForHandoff(_ guest: inout RunningGuest) throws {
    try giveUp(MigrationFailure(.migrationCancelled, "the registry ordered a handoff"), &guest)
  }

  /// The guest runs on here.
  private func attemptEnded(epoch: UInt64) {
    attempt = nil
    stop?.attemptEnded(now: MonotonicClock.now())
    log.status(stop == nil ? .running(epoch: epoch) : .parking)
  }

  private func end(_ guest: consuming RunningGuest, _ reason: StopIntent.Reason) throws {
    let (level, text) = reason.sentence
    log.say(level, text)
    log.status(.ending)
    instance.machine.stop()
    log.report(instance)
    do {
      try instance.sev?.retire()
    } catch {
      log.say(.warning, "the ended guest's memory could not be unregistered: \(error)")
    }
    guest.end()
    instance.machine.end()
    log.event("ended")
    log.say(.notice, "the guest has ended")
    log.status(.ended)
  }

  enum Next: ~Copyable {
    case goesOn(RunningGuest)
    case over(VMMOutcome)
  }

  // MARK: Prepare

  private func offer(_ handoff: UInt64, _ running: inout RunningGuest) throws {
    CrashPoint.sourcePrepare.reached()
    if instance.options.misbehaviour == .declineHandoff {
      try running.decline(handoff: handoff, .sourceDeclined, "this VMM declines every handoff")
      stop?.attemptEnded(now: MonotonicClock.now(), because: "this VMM declines every handoff")
      return
    }
    let manifest = try instance.manifest()
    do {
      try instance.prepareTakeBack()
    } catch {
      let reason = "no VM to take the guest back into: \(error)"
      log.say(.warning, "handoff \(handoff) is declined, \(reason)")
      stop?.attemptEnded(now: MonotonicClock.now(), because: reason)
      try running.decline(handoff: handoff, .sourceDeclined, reason)
      return
    }
    let named = try instance.namedDescriptors()
    attempt = handoff
    log.status(.offered(handoff: handoff))
    try running.offer(
      handoff: handoff, manifest, ram: [instance.ram.number],
      vm: manifest.hasVM ? instance.sev?.vmNumber : nil, named: named.borrowedNumbers,
      takeBackVM: instance.takeBackVMNumber)
    log.event("offered", [("handoff", .number(handoff)), ("way", .text("\(manifest.way)"))])
    CrashPoint.sourceOffered.reached()
  }

  // MARK: Freeze to verdict

  private func goesOn(_ running: consuming RunningGuest) -> Next {
    attemptEnded(epoch: running.epoch)
    return .goesOn(running)
  }

  private func handOver(_ running: consuming RunningGuest, _ handoff: UInt64) throws -> Next {
    let since = MonotonicClock.now()
    let machine = instance.machine
    let lastInstruction = machine.stop()
    var frozen = running.freeze(handoff: handoff, since: since)
    CrashPoint.sourceFrozen.reached()
    let state: [UInt8]
    do {
      state = try machine.saveState(format: instance.options.stateFormat)
    } catch {
      log.say(.error, "saving the guest's state failed, it goes on here: \(error)")
      return goesOn(frozen.goOn { resume(machine) })
    }
    var secret = [UInt8](repeating: 0, count: InfoToken.byteCount)
    defer { SecureBytes.wipe(&secret) }
    if let sev = instance.sev, sev.way == .token {
      do {
        let token = try sev.send()
        token.write(into: &secret, at: 0)
      } catch {
        log.say(.error, "LOCAL_SEND failed, the guest goes on here: \(error)")
        return goesOn(frozen.goOn { resume(machine) })
      }
      frozen.gaveUpContext()
      CrashPoint.sourceContextSent.reached()
    }
    if frozen.isOverdue {
      log.say(.warning, "the time to stage is over, the guest goes on here")
      if instance.sev?.way == .token, takeBack(secret, state) != true { return .over(.failed) }
      return goesOn(frozen.goOn { runTakenBack(state) })
    }
    let staged = try frozen.stage(state: state, lastInstruction: lastInstruction) { envelope in
      for (index, byte) in secret.enumerated() { envelope[StateEnvelope.batonOffset + index] = byte }
    }
    CrashPoint.sourceStaged.reached()
    log.event(
      "staged", [("handoff", .number(handoff)), ("lastInstruction", .number(lastInstruction))])
    return try awaitVerdict(staged, secret, state)
  }

  private func awaitVerdict(
    _ staged: consuming StagedGuest, _ secret: [UInt8], _ state: [UInt8]
  ) throws -> Next {
    let verdict = try staged.awaitVerdict(
      takingBack: { vms in takeBack(secret, state, alsoOutOf: vms.borrowedNumbers) },
      alarm: {
        log.say(
          .warning,
          "the registry has been gone or silent for its deadline; the guest waits paused here, "
            + "start batond or ask batonctl show \(instance.options.guest)")
        log.status(.registryGone)
      })
    switch consume verdict {
    case .release(let refusal): return .over(release(refusal))
    case .run(let permit):
      let epoch = permit.epoch
      let manifest = try instance.manifest()
      let running = permit.run(manifest: manifest) {
        runTakenBack(state)
        return instance.machine.waitForFirstInstruction(timeoutNanoseconds: 1_000_000_000) ?? 0
      }
      instance.dropTakeBack()
      log.event("running", [("epoch", .number(epoch)), ("takenBack", .number(1))])
      attemptEnded(epoch: epoch)
      return .goesOn(running)
    }
  }

  /// Receives the own token, or moves the own context, into the machine made ahead.
  ///
  /// - Parameter numbers: VMs of claimants that died, out of which the context may have to be moved.
  /// - Returns: False when the baton was used, nil when nobody can say.
  private func takeBack(
    _ secret: [UInt8], _ state: [UInt8], alsoOutOf numbers: [Int32] = []
  ) -> Bool? {
    guard let sev = instance.sev else { return true }
    let taking: SEVContext.Taking
    switch sev.way {
    case .move: taking = sev.moveBack(alsoOutOf: numbers)
    case .token, .none:
      var copy = secret
      guard let token = InfoToken(takingFrom: &copy, at: 0) else { return false }
      taking = sev.takeBack(token)
    }
    switch taking {
    case .taken: break
    case .used: return false
    case .untouched(let error), .unknown(let error):
      log.say(.error, "taking the guest back: \(error); it waits paused here, ask batonctl show")
      return nil
    }
    do {
      try instance.switchToSpare(restoring: state)
    } catch {
      log.say(.error, "the guest was taken back and its state cannot be restored: \(error)")
      return nil
    }
    CrashPoint.sourceTookBack.reached()
    log.event("tookBack")
    return true
  }

  /// Lets a guest run that was stopped here: from the restored machine, or in place (way `none`).
  private func runTakenBack(_ state: [UInt8]) {
    let machine = instance.machine
    do {
      switch machine.phase {
      case .restored: try machine.run()
      case .stopped: try machine.resume()
      case .loaded, .prepared, .running, .ended: break
      }
    } catch {
      log.say(.error, "the guest taken back cannot run: \(error)")
    }
  }

  func resume(_ machine: any Machine) {
    do {
      try machine.resume()
    } catch {
      log.say(.error, "the guest cannot go on in place: \(error)")
    }
  }

  // MARK: Ends

  func release(_ refusal: Refusal?) -> VMMOutcome {
    CrashPoint.sourceReleased.reached()
    if instance.options.misbehaviour == .runAfterRelease {
      log.event("misbehaving")
      resume(instance.machine)
      while true { try? signals.wait(also: -1, timeoutNanoseconds: nil) }
    }
    let isParked = stop?.intent == .park
    if !isParked {
      // Unmapping RAM keeps a core busy for milliseconds, and the successor's vCPUs are just being woken.
      _ = try? Poller.waitReadable(-1, timeoutNanoseconds: Self.courtesyNanoseconds)
    }
    if refusal == nil {
      let end: VMMStatus = isParked ? .parked : .released
      log.say(.info, end.text)
      log.status(end)
    }
    instance.machine.end()
    return log.released(refusal)
  }

  /// How long a released source keeps still.
  private static let courtesyNanoseconds: UInt64 = 10_000_000
}
