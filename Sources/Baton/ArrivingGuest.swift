import BatonCore
public import BatonWire
import LinuxOS

/// A guest that comes from another host, and is not all here yet. It may not run.
///
/// Dropping the value closes the connection; the registry forgets the arrival when this process ends.
public struct ArrivingGuest: ~Copyable {
  let link: RegistryLink
  public let id: MigrationID

  /// How an arrival ended that is not wanted: give up everything and exit.
  public struct End: Hashable, Sendable {
    public let refusal: Refusal?
  }

  /// Goes once through what is said while a guest stands still, with values that mean nothing. Call it before one comes:
  /// code that runs for the first time costs many times the second, and without it the pause is some tenths of a
  /// millisecond longer.
  public static func rehearse() { Rehearsal.performMigration() }

  /// Says to the registry that a guest comes.
  ///
  /// - Parameters:
  ///   - lock: What the source's side says that the receipt will fit. A wrong one keeps the guest from running.
  ///   - epoch: The guest's epoch at its source.
  ///   - peer: The source's host, as it named itself; longer names are cut after 255 bytes.
  ///   - manifest: What this VMM has for the guest.
  ///   - patienceMilliseconds: How long to wait for a registry that is not there.
  /// - Throws: ``BatonError/refused(_:_:)`` (`guestExists`, wrong peer, quota, …),
  ///   ``BatonError/registryUnreachable(path:milliseconds:)``.
  public init(
    _ identity: VMMIdentity, id: MigrationID, lock: DepartureLock, epoch: UInt64, peer: String,
    manifest: Manifest, patienceMilliseconds: UInt64 = 5_000
  ) throws(BatonError) {
    var peer = peer
    while peer.utf8.count > Arriving.maximumPeer { peer.removeLast() }
    self.id = id
    link = RegistryLink(
      identity, .arriving(Arrival(Arriving(id: id, lock: lock, epoch: epoch, peer: peer))))
    link.manifest = manifest
    try link.connectPatiently(milliseconds: patienceMilliseconds)
  }

  /// The socket to poll for reading, or -1 while there is no connection.
  public var descriptor: Int32 { link.descriptor }
  public var deadlines: Deadlines { link.deadlines }

  /// Takes up what the registry sent, without waiting beyond a reconnect's welcome; nil to go on.
  public mutating func process() throws(BatonError) -> End? {
    switch try link.nextArrivalStep(until: 0) {
    case .act(.release(let refusal)): End(refusal: refusal)
    case .act(.run), .wrongReceipt, nil: nil
    }
  }

  /// Nothing comes of it: the source stays with its guest, or cannot be reached. This process may receive another one.
  public consuming func withdraw(_ refusal: Refusal, _ text: String) -> WithdrawnArrival {
    link.withdraw(refusal, text)
  }

  /// Whether the registry has an arrival in its journal that was announced to it.
  public enum Announcement: ~Copyable {
    /// The source may be told.
    case arrived(ArrivedGuest)
    /// The source must not be told: it keeps its guest, and the arrival is to be withdrawn. Nobody can say whether the
    /// registry has it. ``BatonError/refused(_:_:)`` when it was ended meanwhile,
    /// ``BatonError/registryUnreachable(path:milliseconds:)`` when nobody answers.
    case failed(ArrivingGuest, BatonError)
  }

  /// Everything that came is restored into this process. Returns when the registry has written it down; for the first
  /// 10 ms it looks for an answer before it sleeps, since a guest stands still. See also ``rehearse()``.
  public consuming func arrived(patienceMilliseconds: UInt64 = 5_000) -> Announcement {
    do throws(BatonError) {
      try link.sayArrived(id, patienceMilliseconds: patienceMilliseconds)
    } catch {
      return .failed(self, error)
    }
    return .arrived(ArrivedGuest(link: link, id: id))
  }
}

/// An arrival of which nothing comes. The registry has to hear that: until it does, the guest's name is taken, and
/// an operator is called.
///
/// Call ``process()`` again and again until it gives true, or say that another guest arrives: that ends it too.
public struct WithdrawnArrival: ~Copyable {
  let link: RegistryLink

  /// The socket to poll for reading, or -1 while there is no connection.
  public var descriptor: Int32 { link.descriptor }

  /// Takes up what the registry sent.
  ///
  /// - Parameter deadline: Until when to wait for it, by `CLOCK_MONOTONIC` in nanoseconds, as in a pause; 0 for not
  ///   beyond a reconnect's welcome.
  /// - Returns: true when it knows that the guest does not come.
  public mutating func process(until deadline: UInt64 = 0) throws(BatonError) -> Bool {
    if deadline > 0 { link.stayAwake() }
    switch try link.nextArrivalStep(until: deadline) {
    case .act:
      link.disconnect()
      return true
    case .wrongReceipt, nil: return false
    }
  }
}

/// A guest that is all here and may not run before the verdict, for which the registry wants the source's receipt.
public struct ArrivedGuest: ~Copyable {
  let link: RegistryLink
  public let id: MigrationID

  /// The socket to poll for reading, or -1 while there is no connection.
  public var descriptor: Int32 { link.descriptor }
  public var deadlines: Deadlines { link.deadlines }

  public enum Verdict: ~Copyable {
    case run(RunPermit)
    case release(Refusal?)
  }

  public enum Decision: ~Copyable {
    case run(RunPermit)
    /// Give up everything and exit.
    case release(Refusal?)
    /// What was presented does not fit. The guest waits on; an operator may settle it.
    case wrongReceipt(ArrivedGuest)
    /// Nothing came yet.
    case waiting(ArrivedGuest)
  }

  /// The source says itself that it keeps the guest: give up what came. This process may receive another one.
  public consuming func withdraw(_ refusal: Refusal, _ text: String) -> WithdrawnArrival {
    link.withdraw(refusal, text)
  }

  /// Shows the registry what came from the source; shown again on a renewed connection.
  public mutating func present(_ receipt: DepartureReceipt) {
    link.tell(link.changeArrival { $0.present(receipt) })
  }

  /// Takes up what the registry sent, without waiting beyond a reconnect's welcome.
  public consuming func process() throws(BatonError) -> Decision {
    let link = link
    let id = id
    return switch try link.nextArrivalStep(until: 0) {
    case .act(.run(let epoch)): .run(RunPermit(link: link, epoch: epoch, isFresh: false))
    case .act(.release(let refusal)): .release(refusal)
    case .wrongReceipt: .wrongReceipt(ArrivedGuest(link: link, id: id))
    case nil: .waiting(ArrivedGuest(link: link, id: id))
    }
  }

  /// Waits for the verdict, for as long as it takes: the receipt may come to the registry past this process.
  ///
  /// - Parameters:
  ///   - alarm: Called each time the registry has been gone or silent for its deadline, and when what was presented
  ///     does not fit.
  ///   - meanwhile: Called about twice a second as long as it waits.
  public consuming func awaitVerdict(
    alarm: () -> Void = {}, meanwhile: () -> Void = {}
  ) throws(BatonError) -> Verdict {
    let link = link
    var wait = link.beginWait()
    while true {
      switch try link.nextArrivalStep(until: wait.next) {
      case .act(.run(let epoch)): return .run(RunPermit(link: link, epoch: epoch, isFresh: false))
      case .act(.release(let refusal)): return .release(refusal)
      case .wrongReceipt: alarm()
      case nil: wait.pass(alarm, meanwhile)
      }
    }
  }
}

extension RegistryLink {
  enum ArrivalStep {
    case act(Arrival.Action)
    case wrongReceipt
  }

  /// Says that nothing comes of an arrival, if there is a connection to say it on.
  func withdraw(_ refusal: Refusal, _ text: String) -> WithdrawnArrival {
    let message = changeArrival { $0.withdraw(refusal, text) }
    tell(message)
    return WithdrawnArrival(link: self)
  }

  /// Says that everything is here and waits until the registry has written that down. Where the connection breaks, a
  /// new one says it with its first record, whose answer means the same.
  func sayArrived(_ id: MigrationID, patienceMilliseconds: UInt64) throws(BatonError) {
    let deadline = MonotonicClock.now() + patienceMilliseconds * 1_000_000
    stayAwake()
    tell(changeArrival { $0.arrived() })
    while let answer = try receive(until: deadline) {
      switch answer {
      case .arrivalJournalled(id): return
      case .refusal(let refusal, let text):
        disconnect()
        throw .refused(refusal, text)
      case .release(let refusal):
        disconnect()
        throw .refused(refusal ?? .notOwner, "this process is to give up the guest")
      // To run it is ordered after the answer alone.
      case .arrivalJournalled, .welcome, .prepare, .offered, .freeze, .claim, .takeBack, .run, .preflight,
        .migrate, .depart, .cancelMigration:
        continue
      }
    }
    let now = MonotonicClock.now()
    guard !isConnected, now < deadline else {
      throw .registryUnreachable(path: identity.registry, milliseconds: patienceMilliseconds)
    }
    try connectPatiently(milliseconds: (deadline - now) / 1_000_000)
  }

  /// Changes the arrival's machine and returns what it wants said.
  func changeArrival(_ change: (inout Arrival) -> VMMMessage) -> VMMMessage {
    guard case .arriving(var arrival) = side else { preconditionFailure("not an arriving guest") }
    let message = change(&arrival)
    side = .arriving(arrival)
    return message
  }

  /// The next order that means something to a VMM that receives a guest.
  func nextArrivalStep(until deadline: UInt64) throws(BatonError) -> ArrivalStep? {
    while let message = try nextOrder(until: deadline) {
      guard case .arriving(var arrival) = side else { preconditionFailure("not an arriving guest") }
      if case .refusal(.receiptWrong, _) = message {
        arrival.forgetReceipt()
        side = .arriving(arrival)
        return .wrongReceipt
      }
      let action = arrival.take(message)
      side = .arriving(arrival)
      if let action { return .act(action) }
    }
    return nil
  }

  /// On a renewed connection the receipt is shown once more, or the withdrawal said.
  func repeatUnanswered() {
    guard case .arriving(let arrival) = side, let message = arrival.unanswered else { return }
    tell(message)
  }
}
