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

  let link: RegistryLink
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

  /// The socket to poll, or -1.
  package var descriptor: Int32 { link.descriptor }

  /// Whether vCPUs may be in KVM_RUN.
  package var mayRun: Bool {
    switch phase {
    case .permitted, .running: true
    case .new, .attached, .offered, .prepared, .claiming, .received, .frozen, .staged, .takingBack, .tookBack,
      .returned, .over:
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
    case .new, .attached, .permitted, .running, .over: 0
    }
  }

  // MARK: Events

  /// Takes up what came, without waiting beyond a reconnect's welcome.
  package func process() throws -> Event? {
    switch phase {
    case .new: throw Failure.outOfTurn(phase)
    case .attached, .offered, .prepared, .claiming, .received, .returned:
      return try successorEvent() ?? alarmIfDue()
    case .running: return try ownerEvent()
    case .staged, .takingBack, .tookBack: return try stagedEvent() ?? alarmIfDue()
    case .permitted, .frozen, .over: return nil
    }
  }

  /// Waits for an event; nil when the time is over.
  ///
  /// - Parameter milliseconds: How long at most; nil for ever.
  package func wait(milliseconds: UInt64?) throws -> Event? {
    let deadline = milliseconds.map { MonotonicClock.now() + $0 * 1_000_000 }
    while true {
      if let event = try process() { return event }
      switch phase {
      case .permitted, .frozen, .over: throw Failure.outOfTurn(phase)
      case .new, .attached, .offered, .prepared, .claiming, .received, .running, .staged, .takingBack,
        .tookBack, .returned:
        break
      }
      let now = MonotonicClock.now()
      if let deadline, deadline <= now { return nil }
      // Without a connection it is tried again soon, and an alarm must not be missed.
      let pause: UInt64 = descriptor < 0 ? 20_000_000 : 1_000_000_000
      _ = try Poller.waitReadable(
        descriptor, timeoutNanoseconds: min(pause, deadline.map { $0 - now } ?? pause))
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
    case .received, .staged, .tookBack, .takingBack: break
    case .new, .attached, .offered, .prepared, .claiming, .permitted, .running, .frozen, .returned, .over:
      return nil
    }
    guard MonotonicClock.now() >= alarmDue else { return nil }
    rearmAlarm()
    return .alarm
  }

  /// From now on the registry has its deadline to decide.
  func rearmAlarm() { alarmDue = MonotonicClock.now() + UInt64(link.deadlines.registry) * 1_000_000 }
}
