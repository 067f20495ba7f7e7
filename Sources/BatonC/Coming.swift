import Baton
import BatonWire
import LinuxOS
import MigrationCore
import RemoteMigration

/// A VMM that waits for a guest from another host: the stream and what this host's registry says, as `IncomingRole`
/// has them in baton-vmm. Nothing in it waits, but for the registry's answers to its own words.
final class Coming {
  /// What the VMM owes an answer to.
  private enum Question {
    case none
    /// What is offered: ``accept(_:)`` or ``decline(_:)``.
    case offer(Preamble, MachineOffer)
    /// All of the guest is here since then: ``received()`` or ``decline(_:)``.
    case restore(since: UInt64)
  }

  private unowned let handle: Handle
  private let remote: Remote
  private let mostRAM: UInt64
  private var incoming: IncomingMigration?
  private var question = Question.none
  /// The VMM has heard of the guest that comes.
  private var isKnown = false
  /// When the sidecar is asked again.
  private var retry: UInt64 = 0
  /// What the registry has still to hear of an earlier source's guest, and when it is told again.
  private var withdrawn: WithdrawnArrival?
  private var withdrawalDue: UInt64 = 0
  /// How long the registry took last for a word on a connection that stands; nil before a plan.
  private var registryNanoseconds: UInt64?
  private var wasShownWrongReceipt = false
  /// The device state, as long as it is to be restored.
  private(set) var state: ArraySlice<UInt8>?
  private(set) var peer = ""
  /// Until when a guest stands still for what is waited for.
  private(set) var awakeUntil: UInt64 = 0

  init(_ handle: Handle, _ remote: Remote, mostRAM: UInt64) {
    self.handle = handle
    self.remote = remote
    self.mostRAM = mostRAM
    ArrivingGuest.rehearse()
  }

  private var participant: Participant { handle.participant }

  /// What is offered.
  var offer: (preamble: Preamble, machine: MachineOffer)? {
    guard case .offer(let preamble, let machine) = question else { return nil }
    return (preamble, machine)
  }

  // MARK: The VMM's loop

  /// The VMM is asked first; the stream waits meanwhile.
  private var isAsked: Bool {
    switch question {
    case .offer, .restore: true
    case .none: false
    }
  }

  var interests: [Poller.Interest] {
    var interests: [Poller.Interest] = []
    if let interest = incoming?.interest, interest.number >= 0, !isAsked {
      interests.append(Poller.Interest(interest.number, readable: true, writable: interest.writes))
    }
    let number = withdrawnDescriptor
    if number >= 0 { interests.append(Poller.Interest(number)) }
    return interests
  }

  private var withdrawnDescriptor: Int32 {
    switch withdrawn {
    case .some(let arrival): arrival.descriptor
    case .none: -1
    }
  }

  var waitNanoseconds: UInt64 {
    isAsked ? 1_000_000_000 : incoming?.waitNanoseconds ?? Self.second
  }

  private static let second: UInt64 = 1_000_000_000

  /// Goes on for a moment.
  func step() throws {
    tellWithdrawal()
    switch participant.phase {
    case .awaiting, .arriving, .arrived: break
    // With its verdict the guest is this process's, whatever becomes of the link.
    case .new, .attached, .offered, .prepared, .claiming, .received, .permitted, .running, .frozen, .staged,
      .takingBack, .tookBack, .returned, .leaving, .departing, .departed, .over:
      return
    }
    guard !isAsked, try connect(), let incoming else { return }
    do throws(MigrationFailure) {
      if let event = try incoming.step(for: Leaving.slice) { try take(event) }
    } catch {
      // What is complete waits for the registry, whatever becomes of the link, if the source may know of it.
      guard case .arrived = participant.phase, incoming.hasSaidReady else { return try fail(error) }
      handle.say(error)
      incoming.abandon(nil)
      self.incoming = nil
    }
  }

  /// Asks the sidecar to wait; it may come later than this process.
  ///
  /// - Returns: Whether there is a stream to go on with.
  private func connect() throws -> Bool {
    guard incoming == nil else { return true }
    // A guest that is all here needs no other.
    guard case .awaiting = participant.phase, MonotonicClock.now() >= retry else { return false }
    do throws(MigrationFailure) {
      incoming = try IncomingMigration(
        participant.identity.guest, at: remote.socketPath, host: HostName.own,
        build: participant.identity.build,
        silenceNanoseconds: remote.silenceNanoseconds, maximumRAM: mostRAM)
    } catch {
      retry = MonotonicClock.now() + Self.second
      handle.say(error)
    }
    return incoming != nil
  }

  private func take(_ event: IncomingMigration.Event) throws(MigrationFailure) {
    switch event {
    case .waiting, .receiving: break
    case .connected(let peer): self.peer = peer
    case .offered(let preamble, let offer): try ask(preamble, offer)
    case .complete(let state):
      guard case .arriving = participant.phase else {
        throw MigrationFailure(.protocolViolation, "a guest came that was only planned")
      }
      awakeUntil = Poller.awakeForPause()
      incoming?.beginSilence()
      self.state = state[...]
      question = .restore(since: MonotonicClock.now())
      handle.told.append(.arrived)
    case .receipt(let receipt):
      do { try participant.present(receipt) } catch {
        throw MigrationFailure(.successorDeclined, "the receipt could not be shown to the registry: \(error)")
      }
    case .cancelled(let refusal, let text):
      if let refusal {
        handle.say(MigrationFailure(refusal, "the source ended the migration: \(text)", isPeers: true))
      }
      drop(nil, telling: refusal)
    }
  }

  // MARK: An offer

  /// Asks the VMM, after what needs no VMM.
  private func ask(_ preamble: Preamble, _ offer: MachineOffer) throws(MigrationFailure) {
    let identity = participant.identity
    guard preamble.guest == identity.guest else {
      throw MigrationFailure(
        .targetNotWaiting, "this VMM waits for guest \(identity.guest), not for \(preamble.guest)")
    }
    let format = offer.manifest.format
    guard identity.reads.canRead(format) else {
      throw MigrationFailure(
        .stateUnreadable,
        "the source writes \(format.name) version \(format.version) with features "
          + "0x\(String(format.features, radix: 16)), this VMM reads \(identity.reads.name) version "
          + "\(identity.reads.oldest) to \(identity.reads.newest) with features "
          + "0x\(String(identity.reads.features, radix: 16))")
    }
    guard offer.parties.isEmpty else {
      throw MigrationFailure(
        .agreementMissing, "not all of host, firmware and guest agree at the source to the migration")
    }
    participant.expect(offer.manifest)
    question = .offer(preamble, offer)
    isKnown = true
    // The VMM makes RAM now, perhaps, which may take long.
    incoming?.beginSilence()
    handle.told.append(.arriving)
  }

  /// Takes the offer. What is thrown ends it, except that a wrong argument changes nothing.
  func accept(_ target: CTarget) throws {
    guard case .offer(let preamble, let offer) = question else {
      throw Participant.Failure.outOfTurn(participant.phase)
    }
    question = .none
    do {
      let guest = try ArrivingRAM(target, offer)
      let manifest = target.guest.manifest
      let greeted = try announce(preamble, preamble.id, manifest)
      if preamble.intent == .plan {
        // The first time wakes everything up that is between here and the journal; of the others the quickest counts.
        registryNanoseconds = nil
        var repetitions = 3
        while takePlanBack(), repetitions > 0 {
          _ = try announce(preamble, .random(), manifest)
          repetitions -= 1
        }
      }
      var facts = try guest.encryption?.facts() ?? .withoutEncryption()
      facts.registryNanoseconds = min(registryNanoseconds ?? greeted, greeted)
      facts.checks.append(
        PreflightCheck(
          name: "migrationTarget", verdict: .pass,
          detail: "\(HostName.own) runs \(participant.identity.build) and has room for the guest"))
      try incoming?.accept(guest, facts)
    } catch {
      let failure = error as? MigrationFailure ?? .noRoom("\(error)")
      try fail(failure)
      throw failure
    }
  }

  /// Says to the registry that the guest comes.
  ///
  /// - Returns: How long its answer took, in nanoseconds.
  private func announce(
    _ preamble: Preamble, _ id: MigrationID, _ manifest: Manifest
  ) throws(MigrationFailure) -> UInt64 {
    let asked = MonotonicClock.now()
    do throws(BatonError) {
      try participant.arrive(id, lock: preamble.lock, epoch: preamble.epoch, peer: peer, manifest: manifest)
    } catch {
      throw MigrationFailure(error)
    }
    // That another one comes has said of the last one all that was left to say.
    withdrawn = nil
    return MonotonicClock.now() - asked
  }

  /// The guest that is only planned could come; that it does not is said at once.
  ///
  /// - Returns: Whether the registry has heard it.
  private func takePlanBack() -> Bool {
    guard var arrival = participant.withdraw(.migrationCancelled, "it was only planned") else { return false }
    let asked = MonotonicClock.now()
    let isHeard = (try? arrival.process(until: asked + Self.second)) ?? false
    let took = MonotonicClock.now() - asked
    registryNanoseconds = min(registryNanoseconds ?? took, took)
    if !isHeard { withdrawn = consume arrival }
    return isHeard
  }

  // MARK: All of it is here

  /// The VMM has restored the guest.
  func received() throws {
    guard case .restore(let since) = question else { throw Participant.Failure.outOfTurn(participant.phase) }
    let took = MonotonicClock.now() - since
    question = .none
    state = nil
    do {
      try participant.arrived()
      try incoming?.ready(restoreNanoseconds: took)
    } catch {
      let failure =
        error as? MigrationFailure ?? (error as? BatonError).map { MigrationFailure($0) }
        ?? MigrationFailure(.successorDeclined, "\(error)")
      // What the source may have heard of is the registries' to settle.
      if incoming?.hasSaidReady == true { return handle.say(failure) }
      try fail(failure)
      throw failure
    }
  }

  func wrongReceipt() {
    guard !wasShownWrongReceipt else { return }
    wasShownWrongReceipt = true
    handle.say(MigrationFailure(.receiptWrong, "the source's receipt is not the one of this migration"))
    handle.told.append(.alarm)
  }

  /// The source is told that its guest runs here.
  func running(epoch: UInt64, firstInstruction: UInt64) {
    let first = firstInstruction == 0 ? MonotonicClock.now() : firstInstruction
    do throws(MigrationFailure) {
      try incoming?.running(epoch: epoch, realTime: MonotonicClock.wallTime(at: first))
    } catch {
      handle.say(error)
    }
    incoming?.abandon(nil)
    incoming = nil
  }

  // MARK: It does not come

  /// This VMM cannot take the guest.
  func decline(_ text: String) throws {
    guard isAsked else { throw Participant.Failure.outOfTurn(participant.phase) }
    isKnown = false
    try fail(MigrationFailure(.successorDeclined, text))
  }

  /// Nothing comes of this source's guest; the next one is waited for.
  func fail(_ failure: MigrationFailure) throws {
    handle.say(failure)
    drop(failure, telling: failure.refusal)
  }

  private func drop(_ failure: MigrationFailure?, telling refusal: Refusal?) {
    incoming?.abandon(failure)
    incoming = nil
    question = .none
    state = nil
    peer = ""
    awakeUntil = 0
    wasShownWrongReceipt = false
    let reason = failure ?? MigrationFailure(.migrationCancelled, "the source ended the migration")
    if let arrival = participant.withdraw(reason.refusal, reason.text) {
      withdrawn = consume arrival
      withdrawalDue = 0
      tellWithdrawal()
    }
    participant.expect(nil)
    if isKnown { handle.told.append(.migrationOver(refusal)) }
    isKnown = false
  }

  /// Goes on telling the registry that an earlier guest does not come, once a second while it cannot be reached.
  private func tellWithdrawal() {
    guard var arrival = withdrawn.take() else { return }
    let now = MonotonicClock.now()
    if arrival.descriptor >= 0 || now >= withdrawalDue {
      withdrawalDue = now + Self.second
      if (try? arrival.process()) == true { return }
    }
    withdrawn = consume arrival
  }

  /// This VMM has nothing more to say.
  func close() {
    // What the source may have heard of is the registries' to settle; before that the guest's name is free again.
    if case .arriving = participant.phase,
      var arrival = participant.withdraw(.migrationCancelled, "the target's VMM let go of its handle")
    {
      _ = try? arrival.process()
    }
    incoming?.abandon(MigrationFailure(.migrationCancelled, "the target's VMM let go of its handle"))
    incoming = nil
    question = .none
    state = nil
  }
}
