import BatonCore
package import BatonWire
import LinuxOS

/// A VMM's part in the handoffs of one guest, as events and answers: what the C library is made of.
///
/// It has the rules that the values of this library have, but checks them at run time: a call out of turn
/// throws ``Failure/outOfTurn(_:)`` or ``Failure/mayNotRun(_:)`` and changes nothing. Used by one thread at a time.
package final class Participant {
  /// Where the VMM stands.
  package enum Phase: Hashable, Sendable {
    case new
    case attached
    case offered(UInt64)
    case prepared(UInt64)
    case claiming(UInt64)
    case received(UInt64)
    /// Has the verdict; the guest is to be started.
    case permitted(epoch: UInt64, isFresh: Bool)
    case running
    /// The guest stands still; `hasContext` says that it was not given up yet.
    case frozen(UInt64, hasContext: Bool)
    case staged(UInt64)
    case takingBack(UInt64)
    case tookBack(UInt64)
    /// Does not go on with the claim and waits to be released.
    case returned(UInt64)
    /// The guest stands still while its last pages go to another host.
    case leaving(MigrationID)
    /// The other host has all of it; only the registry's orders count.
    case departing(MigrationID)
    /// The guest was given up here, and another host's registry needs the receipt.
    case departed(MigrationID)
    /// Waits for a guest from another host.
    case awaiting
    /// It comes; not all of it is here.
    case arriving(MigrationID)
    /// All of it is here and waits for the verdict.
    case arrived(MigrationID)
    case over(Refusal?)
  }

  package enum Event: Hashable, Sendable {
    /// Start a guest that begins here.
    case start(epoch: UInt64)
    /// Run what was received or taken back.
    case run(epoch: UInt64)
    case offered(handoff: UInt64)
    case claim(handoff: UInt64)
    case prepare(handoff: UInt64)
    case freeze(handoff: UInt64)
    case attemptOver(handoff: UInt64)
    case preflight
    case takeBack(handoff: UInt64)
    case released(Refusal?)
    /// The registry has been gone or silent for its deadline, and the guest waits paused.
    case alarm
    /// The guest is to go to another host.
    case migrate
    /// Stop the guest, for its last pages.
    case stop
    /// Nothing comes of the migration (nil after a plan): the guest stays, or does not come.
    case migrationOver(Refusal?)
    /// A guest from another host is offered.
    case arriving
    /// All of it is here.
    case arrived
  }

  /// What the registry says about a migration: for what goes on with its stream, not for the VMM.
  package enum MigrationTurn: Hashable, Sendable {
    case ordered(MigrationOrder)
    case cancelled(MigrationID)
    /// Give the guest up.
    case mayDepart
    /// It was given up, and the registry has that in its journal.
    case departed(DepartureReceipt)
    /// The registry has ended the arrival; another guest may come.
    case arrivalEnded(Refusal)
    /// What was presented does not fit.
    case wrongReceipt
  }

  /// What came.
  package enum Turn: Hashable, Sendable {
    case tell(Event)
    case migration(MigrationTurn)
  }

  package enum Failure: Error, Hashable, Sendable, CustomStringConvertible {
    /// The call does not belong to where the VMM stands.
    case outOfTurn(Phase)
    /// It would run a guest for which this process has no verdict.
    case mayNotRun(Phase)
    /// What is asked for is not there, or was taken.
    case absent(String)
    case unusable(String)

    package var description: String {
      switch self {
      case .outOfTurn(let phase): "this call is out of turn: \(phase); nothing was changed"
      case .mayNotRun(let phase):
        "this process may not run the guest: \(phase); it waits for the registry's verdict"
      case .absent(let what): "\(what) is not there, or was taken already"
      case .unusable(let what): what
      }
    }
  }

  var link: RegistryLink
  package internal(set) var phase = Phase.new
  /// What the registry, or a check of this library, said when it refused last.
  package internal(set) var lastRefusal: (refusal: Refusal, text: String)?
  /// What was offered last: its manifest, and second descriptors to give away.
  package internal(set) var manifest: Manifest?
  package internal(set) var isGuestStopped = false
  var ram = DescriptorList()
  var vm = DescriptorList()
  var named = DescriptorList()
  /// Baton and state, as long as the claim is not answered; the envelope is wiped with it.
  var claim: Claim?
  var envelope: [UInt8] = []
  /// Way `move`: VMs of dead claimants, along with an order to take back.
  var takeBackVMs = DescriptorList()
  var frozen: FrozenGuest?
  /// The attempt for which an offer is due.
  var asked: UInt64?
  /// When the order to freeze was read, and for which attempt.
  var freeze: (handoff: UInt64, since: UInt64)?
  private var alarmDue: UInt64 = 0

  package init(_ identity: VMMIdentity, isFresh: Bool) {
    link = RegistryLink(identity, .successor(Successor(isFresh: isFresh)))
  }

  deinit { SecureBytes.wipe(&envelope) }

  /// Comes to the registry; may be called again when it failed.
  package func connect(milliseconds: UInt64) throws {
    guard phase == .new else { throw Failure.outOfTurn(phase) }
    try link.connectPatiently(milliseconds: milliseconds)
    phase = .attached
  }

  package var identity: VMMIdentity { link.identity }

  /// In which the guest is owned here; 0 if it is not.
  package var epoch: UInt64 {
    guard case .source(let source) = link.side else { return 0 }
    return source.epoch
  }

  /// The socket to poll, or -1.
  package var descriptor: Int32 { phase == .awaiting ? -1 : link.descriptor }

  /// Whether the registry is to be asked again soon, because the connection is gone.
  package var wantsConnection: Bool {
    switch phase {
    case .new, .awaiting, .permitted, .frozen, .departed, .over: false
    case .attached, .offered, .prepared, .claiming, .received, .running, .staged, .takingBack, .tookBack,
      .returned, .leaving, .departing, .arriving, .arrived:
      descriptor < 0
    }
  }

  /// Whether vCPUs may be in KVM_RUN.
  package var mayRun: Bool {
    switch phase {
    case .permitted, .running: true
    case .new, .attached, .offered, .prepared, .claiming, .received, .frozen, .staged, .takingBack, .tookBack,
      .returned, .leaving, .departing, .departed, .awaiting, .arriving, .arrived, .over:
      false
    }
  }

  /// The attempt that it is in, 0 if none.
  package var handoff: UInt64 {
    switch phase {
    case .offered(let handoff), .prepared(let handoff), .claiming(let handoff), .received(let handoff),
      .frozen(let handoff, _), .staged(let handoff), .takingBack(let handoff), .tookBack(let handoff),
      .returned(let handoff):
      handoff
    case .new, .attached, .permitted, .running, .leaving, .departing, .departed, .awaiting, .arriving,
      .arrived, .over:
      0
    }
  }

  // MARK: Events

  /// Takes up what came, without waiting beyond a reconnect's welcome.
  package func process() throws -> Turn? {
    switch phase {
    case .new: throw Failure.outOfTurn(phase)
    case .attached, .offered, .prepared, .claiming, .received, .returned:
      return try (successorEvent() ?? alarmIfDue()).map { .tell($0) }
    case .running, .leaving: return try ownerTurn()
    case .staged, .takingBack, .tookBack: return try (stagedEvent() ?? alarmIfDue()).map { .tell($0) }
    case .departing: return try departingTurn() ?? alarmIfDue().map { .tell($0) }
    case .arriving, .arrived: return try arrivalTurn() ?? alarmIfDue().map { .tell($0) }
    case .permitted, .frozen, .departed, .awaiting, .over: return nil
    }
  }

  func over(_ refusal: Refusal?) -> Event {
    phase = .over(refusal)
    forgetOffer()
    forgetClaim()
    return .released(refusal)
  }

  /// The connection, renewed if it is gone; nil when it could not be.
  func reconnected() throws -> Event?? {
    guard !link.isConnected else { return .none }
    do throws(BatonError) {
      return try link.connect(timeoutNanoseconds: 1_000_000_000) ? .none : .some(nil)
    } catch .refused(let refusal, let text) {
      lastRefusal = (refusal, text)
      return .some(over(refusal))
    }
  }

  private func alarmIfDue() -> Event? {
    switch phase {
    case .received, .staged, .tookBack, .takingBack, .departing, .arrived: break
    case .new, .attached, .offered, .prepared, .claiming, .permitted, .running, .frozen, .returned, .leaving,
      .departed, .awaiting, .arriving, .over:
      return nil
    }
    guard MonotonicClock.now() >= alarmDue else { return nil }
    rearmAlarm()
    return .alarm
  }

  /// From now on the registry has its deadline to decide.
  func rearmAlarm() { alarmDue = MonotonicClock.now() + UInt64(link.deadlines.registry) * 1_000_000 }
}
