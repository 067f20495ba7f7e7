import Baton
import BatonWire
import LinuxOS
import MigrationCore
import RemoteMigration
import Systemd

/// The VMM as the target of a migration: it waits for the guest, receives it, and runs it once its registry says so.
///
/// A migration that comes to nothing costs nothing: the next one is waited for. The exception is an arrival that
/// is complete, with which only the registry may end.
final class IncomingRole {
  private let options: VMMOptions
  private let vendor: VendorCertificates
  private let kind: MachineKind
  private let identity: VMMIdentity
  private let signals: SignalQueue
  private let log: VMMLog
  private let patience: TimeoutExtension
  /// Where the next guest comes to; nil when it could not be had yet.
  private var memory: IncomingMemory?
  /// What the registry has still to hear of an earlier source's guest.
  private var withdrawn: WithdrawnArrival?
  /// When it is told again.
  private var withdrawalDue: UInt64 = 0
  /// How long the registry took last for a word on a connection that stands; nil before a plan.
  private var registryNanoseconds: UInt64?

  init(
    options: VMMOptions, vendor: VendorCertificates, kind: MachineKind, identity: VMMIdentity,
    signals: SignalQueue, log: VMMLog,
    patience: TimeoutExtension
  ) {
    self.options = options
    self.vendor = vendor
    self.kind = kind
    self.identity = identity
    self.signals = signals
    self.log = log
    self.patience = patience
  }

  /// Waits for the guest and owns it from then on.
  func take() throws -> VMMOutcome {
    while true {
      let arrival = Arrival(self)
      switch try arrival.run() {
      case .again: continue
      case .over(let outcome): return outcome
      case .runs(let running, let instance):
        ServiceManager.ready(status: VMMStatus.running(epoch: running.epoch).text)
        patience.stop()
        return try SourceRole(instance: instance, signals: signals, log: log).own(running)
      }
    }
  }

  /// Begins to make memory for the guest, if there is none.
  @discardableResult private func prepareMemory() throws(MigrationFailure) -> IncomingMemory {
    if let memory { return memory }
    let fresh = try IncomingMemory(options)
    memory = fresh
    return fresh
  }

  /// Memory of which every page is there.
  private func readyMemory() throws(MigrationFailure) -> IncomingMemory {
    let ready = try prepareMemory()
    // What could not be had now is asked for anew for the next source.
    memory = nil
    try ready.finish()
    memory = ready
    return ready
  }

  /// Goes on telling the registry that an earlier guest does not come, once a second while it cannot be reached.
  private func tellWithdrawal() {
    guard var arrival = withdrawn.take() else { return }
    if arrival.descriptor < 0, MonotonicClock.now() < withdrawalDue {
      withdrawn = consume arrival
      return
    }
    withdrawalDue = MonotonicClock.now() + 1_000_000_000
    do throws(BatonError) {
      if try arrival.process() { return }
      log.sayOnce(.notice, "the registry has yet to hear that the guest does not come; told every second")
    } catch {
      log.sayOnce(.warning, "telling the registry that the guest does not come: \(error); told every second")
    }
    withdrawn = consume arrival
  }

  private func withdraw(_ arrival: consuming WithdrawnArrival) {
    withdrawn = consume arrival
    withdrawalDue = 0
    tellWithdrawal()
  }

  /// Of ``withdrawn``, or -1.
  private var withdrawnDescriptor: Int32 {
    switch withdrawn {
    case .some(let arrival): arrival.descriptor
    case .none: -1
    }
  }

  private enum End: ~Copyable {
    case again
    case over(VMMOutcome)
    case runs(RunningGuest, GuestInstance)
  }

  /// One source, from waiting for it to running its guest.
  private final class Arrival {
    private let role: IncomingRole
    private var options: VMMOptions { role.options }
    private var log: VMMLog { role.log }
    private var incoming: IncomingMigration?
    private var instance: GuestInstance?
    private var arriving: ArrivingGuest?
    private var arrived: ArrivedGuest?
    private var manifest: Manifest?
    private var peer = ""
    private var id: MigrationID?
    private var wasShownWrongReceipt = false
    /// Since all of the guest is here it stands still for this process too.
    private var awakeUntil: UInt64 = 0

    init(_ role: IncomingRole) { self.role = role }

    func run() throws -> End {
      if let end = try connect() { return end }
      while true {
        if let outcome = signalled() { return .over(outcome) }
        if let end = try askRegistry() { return end }
        role.tellWithdrawal()
        do throws(MigrationFailure) {
          if let event = try incoming?.step() {
            if let end = try take(event) { return end }
            continue
          }
        } catch {
          // What is complete waits for the registry, whatever becomes of the link, if the source may know of it.
          guard arrivedHolds, incoming?.hasSaidReady == true else { return try fail(error) }
          log.say(.warning, "\(error.text); the guest waits paused here until it is settled: \(settling)")
          incoming?.abandon(nil)
          incoming = nil
        }
        try pause()
      }
    }

    private var arrivedHolds: Bool {
      switch arrived {
      case .some: true
      case .none: false
      }
    }

    // MARK: Waiting

    /// Asks the sidecar to wait; it may come later than this process.
    private func connect() throws -> End? {
      log.status(.waitingForSource)
      ArrivingGuest.rehearse()
      do throws(MigrationFailure) { try role.prepareMemory() } catch {
        log.sayOnce(.notice, "\(error.text); looked at again when the guest comes")
      }
      while true {
        do throws(MigrationFailure) {
          incoming = try IncomingMigration(
            options.guest, at: options.remoteSocket, host: HostName.own, build: options.build,
            silenceNanoseconds: options.linkTimeoutMilliseconds * 1_000_000,
            maximumRAM: UInt64(options.configuration.ramBytes))
          return nil
        } catch {
          log.sayOnce(.notice, "\(error.text); tried again every second")
        }
        try role.signals.wait(also: role.withdrawnDescriptor, timeoutNanoseconds: 1_000_000_000)
        role.tellWithdrawal()
        if let outcome = signalled() { return .over(outcome) }
      }
    }

    private func pause() throws {
      var interests: [Poller.Interest] = []
      var time: UInt64 = 1_000_000_000
      if let incoming {
        let interest = incoming.interest
        interests.append(Poller.Interest(interest.number, readable: true, writable: interest.writes))
        time = min(time, incoming.waitNanoseconds)
      }
      let registry = registryDescriptor
      interests.append(Poller.Interest(registry))
      interests.append(Poller.Interest(role.withdrawnDescriptor))
      // A connection to the registry that broke is renewed when it is asked.
      if registry < 0, instance != nil { time = min(time, 50_000_000) }
      try role.signals.wait(also: interests, timeoutNanoseconds: time, awakeUntil: awakeUntil)
    }

    private var registryDescriptor: Int32 {
      switch arrived {
      case .some(let guest): return guest.descriptor
      case .none: break
      }
      return switch arriving {
      case .some(let guest): guest.descriptor
      case .none: -1
      }
    }

    private func signalled() -> VMMOutcome? {
      switch role.signals.next() {
      case nil: return nil
      case .report:
        if let instance { log.report(instance) }
        return nil
      case .terminate, .interrupt:
        guard !arrivedHolds else {
          log.say(
            .warning, "asked to end, but the guest is all here: only the registry can end it, \(settling)")
          return nil
        }
        drop(MigrationFailure(.migrationCancelled, "the target's VMM was asked to stop"))
        log.say(.notice, "asked to end before the guest was here; it stays where it was")
        log.status(.gaveUp)
        log.event("gaveUp")
        return .ended
      }
    }

    private var settling: String { "batonctl settle \(options.guest)" }

    // MARK: The source

    private func take(_ event: IncomingMigration.Event) throws(MigrationFailure) -> End? {
      switch event {
      case .waiting: log.event("waiting")
      case .connected(let peer):
        self.peer = peer
        CrashPoint.targetMigrationConnected.reached()
        log.event("arriving", [("peer", .text(peer))])
      case .offered(let preamble, let offer):
        try accept(preamble, offer)
        CrashPoint.targetMigrationChecked.reached()
      case .receiving: CrashPoint.targetMigrationReceiving.reached()
      case .complete(let state): try restore(state)
      case .receipt(let receipt): present(receipt)
      case .cancelled(let refusal, let text):
        if let refusal {
          log.say(.notice, "the source ended the migration (\(refusal.name)): \(text)")
          log.event("arrivalFailed", [("refusal", .text(refusal.name)), ("text", .text(text))])
        }
        drop(nil)
        return .again
      }
      return nil
    }

    private func accept(_ preamble: Preamble, _ offer: MachineOffer) throws(MigrationFailure) {
      log.status(.receiving(peer: peer))
      id = preamble.id
      try IncomingOffer(options, role.kind).check(preamble, offer)
      // Its memory may take long.
      incoming?.beginSilence()
      let guest: ArrivingInstance
      let manifest: Manifest
      do {
        let instance = try GuestInstance.arriving(
          options, kind: role.kind, hasEncryptedState: offer.kind == .sevES, in: role.readyMemory())
        self.instance = instance
        guest = try ArrivingInstance(instance, role.vendor)
        manifest = try instance.manifest()
      } catch {
        throw error as? MigrationFailure
          ?? .noRoom("\(error)")
      }
      self.manifest = manifest
      try guest.encryption?.check(policy: offer.policy)
      if preamble.intent == .plan { role.registryNanoseconds = nil }
      // For a plan too: a guest of that name may be here.
      let greeted = try announce(preamble, preamble.id, manifest)
      // The first time wakes everything up that is between here and the journal, and finds memory for it; it takes
      // two to eight times as long. Of the others the quickest counts, as one that was disturbed says nothing.
      if preamble.intent == .plan {
        var repetitions = 3
        while takePlanBack(), repetitions > 0 {
          _ = try announce(preamble, .random(), manifest)
          repetitions -= 1
        }
      }
      var facts = try guest.encryption?.facts() ?? .withoutEncryption()
      // The longer one of them was disturbed.
      facts.registryNanoseconds = min(role.registryNanoseconds ?? greeted, greeted)
      try incoming?.accept(guest, checked(facts))
    }

    /// Says to the registry that the guest comes.
    ///
    /// - Returns: How long its answer took, in nanoseconds.
    private func announce(
      _ preamble: Preamble, _ id: MigrationID, _ manifest: Manifest
    ) throws(MigrationFailure) -> UInt64 {
      let asked = MonotonicClock.now()
      do throws(BatonError) {
        arriving = try ArrivingGuest(
          role.identity, id: id, lock: preamble.lock, epoch: preamble.epoch, peer: peer, manifest: manifest,
          patienceMilliseconds: options.patienceMilliseconds)
      } catch {
        throw MigrationFailure(error)
      }
      // That another one comes has said of the last one all that was left to say.
      role.withdrawn = nil
      return MonotonicClock.now() - asked
    }

    /// The guest that is only planned could come; that it does not is said at once. How long the registry takes for
    /// that is what its other answers take on a connection that stands: a record, the journal's sync, an answer.
    ///
    /// - Returns: Whether the registry has heard it.
    private func takePlanBack() -> Bool {
      guard let guest = arriving.take() else { return false }
      let asked = MonotonicClock.now()
      var withdrawn = guest.withdraw(.migrationCancelled, "it was only planned")
      var isHeard = false
      do throws(BatonError) {
        isHeard = try withdrawn.process(until: asked + Self.registryPatience)
      } catch {
        log.sayOnce(
          .warning, "telling the registry that the guest was only planned: \(error); told every second")
      }
      let took = MonotonicClock.now() - asked
      role.registryNanoseconds = min(role.registryNanoseconds ?? took, took)
      if !isHeard { role.withdraw(withdrawn) }
      return isHeard
    }

    private static let registryPatience: UInt64 = 1_000_000_000

    private func checked(_ facts: TargetFacts) -> TargetFacts {
      var facts = facts
      facts.checks.append(
        PreflightCheck(
          name: "migrationTarget", verdict: .pass,
          detail: "\(HostName.own) runs \(options.build) and has room for "
            + "\(options.configuration.ramBytes >> 20) MiB and \(options.configuration.vcpuCount) vCPUs"))
      return facts
    }

    private func restore(_ state: [UInt8]) throws(MigrationFailure) {
      guard let instance, let waiting = arriving.take() else {
        throw MigrationFailure(.protocolViolation, "a guest came that was only planned")
      }
      CrashPoint.targetMigrationReceived.reached()
      awakeUntil = Poller.awakeForPause()
      incoming?.beginSilence()
      let began = MonotonicClock.now()
      do throws(MachineError) {
        try instance.machine.restore(state)
      } catch {
        throw MigrationFailure(.stateUnreadable, "the guest's state cannot be restored: \(error)")
      }
      CrashPoint.targetMigrationRestored.reached()
      let took = MonotonicClock.now() - began
      switch waiting.arrived() {
      case .arrived(let guest): arrived = consume guest
      case .failed(let guest, let error):
        arriving = consume guest
        throw MigrationFailure(error)
      }
      CrashPoint.targetMigrationArrived.reached()
      try incoming?.ready(restoreNanoseconds: took)
      log.event("arrived", id.map { [("migration", .text("\($0)"))] } ?? [])
      log.status(.waitingForReceipt(peer: peer))
    }

    private func present(_ receipt: DepartureReceipt) {
      arrived?.present(receipt)
      CrashPoint.targetMigrationPresented.reached()
    }

    // MARK: The registry

    private func askRegistry() throws -> End? {
      if let guest = arrived.take() {
        switch try guest.process() {
        case .waiting(let next): arrived = consume next
        case .wrongReceipt(let next):
          arrived = consume next
          if !wasShownWrongReceipt {
            wasShownWrongReceipt = true
            log.say(
              .error, "the source's receipt is not the one of this migration; the guest waits: \(settling)")
          }
        case .release(let refusal): return released(refusal)
        case .run(let permit): return try start(permit)
        }
      }
      if let end = try arriving?.process() { return released(end.refusal) }
      return nil
    }

    private func released(_ refusal: Refusal?) -> End {
      // The registry knows already.
      arriving = nil
      arrived = nil
      let sentence = refusal.map { " (\($0.name))" } ?? ""
      log.say(.notice, "the registry ended the arrival\(sentence); the guest stays where it was")
      log.event(
        "arrivalFailed",
        [("refusal", .text(refusal?.name ?? "")), ("text", .text("the registry ended the arrival"))])
      drop(MigrationFailure(refusal ?? .migrationCancelled, "the target's registry ended the arrival"))
      // Only the arrival was refused: this process has nothing to give up, and waits for another guest.
      if refusal == .migrationCancelled { return .again }
      // Who is released has to go, or is ended by the registry.
      return .over(refusal.map { .refused($0) } ?? .ended)
    }

    private func start(_ permit: consuming RunPermit) throws -> End {
      guard let instance, let manifest else { preconditionFailure("an arrival without its guest") }
      let epoch = permit.epoch
      role.memory = nil
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
      CrashPoint.targetMigrationRunning.reached()
      let first = instance.machine.firstInstruction ?? MonotonicClock.now()
      do throws(MigrationFailure) {
        try incoming?.running(epoch: epoch, realTime: MonotonicClock.wallTime(at: first))
      } catch {
        log.say(.warning, "the source could not be told that the guest runs here: \(error.text)")
      }
      incoming?.abandon(nil)
      log.event("running", [("epoch", .number(epoch)), ("firstInstruction", .number(first))])
      return .runs(running, instance)
    }

    // MARK: Failing

    private func fail(_ failure: MigrationFailure) throws -> End {
      log.say(.warning, "\(failure.text); the guest stays where it was")
      log.event(
        "arrivalFailed", [("refusal", .text(failure.refusal.name)), ("text", .text(failure.text))])
      drop(failure)
      return .again
    }

    /// Tells the registry that the guest does not come, until it has heard it.
    private func withdraw(_ failure: MigrationFailure) {
      if let guest = arriving.take() { role.withdraw(guest.withdraw(failure.refusal, failure.text)) }
      if let guest = arrived.take() { role.withdraw(guest.withdraw(failure.refusal, failure.text)) }
    }

    /// Forgets everything that was made for this source.
    private func drop(_ failure: MigrationFailure?) {
      incoming?.abandon(failure)
      withdraw(failure ?? MigrationFailure(.migrationCancelled, "the source ended the migration"))
      instance?.machine.end()
      dropMemory()
      incoming = nil
      instance = nil
    }

    /// The migration comes soon after its plan, of which only some pages were received: its memory is there already
    /// then. What firmware or a restored guest may have written to goes.
    private func dropMemory() {
      guard instance != nil else { return }
      if incoming?.intent == .plan, options.sev == .none { incoming?.erase() } else { role.memory = nil }
    }
  }
}
