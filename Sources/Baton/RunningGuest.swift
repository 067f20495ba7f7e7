import BatonCore
public import BatonWire
import LinuxOS

/// A guest that this process owns and may run: there is no other way to have this value than a
/// verdict of the registry, and it is gone as soon as the guest is frozen.
///
/// Poll ``descriptor`` together with the VMM's own descriptors and call ``process()`` when it is
/// readable; while it is -1 call ``process()`` every 50 ms, so that the connection is renewed. The
/// guest runs on meanwhile.
public struct RunningGuest: ~Copyable {
  let link: RegistryLink

  /// The socket to poll for reading, or -1 while there is no connection. It changes when the
  /// connection is renewed.
  public var descriptor: Int32 { link.descriptor }
  public var deadlines: Deadlines { link.deadlines }
  public var epoch: UInt64 {
    guard case .source(let source) = link.side else { return 0 }
    return source.epoch
  }

  /// What the registry wants of the owner.
  public enum Order: Hashable, Sendable {
    /// A successor is there, or this process has asked to be parked: make a take-back VM and call ``RunningGuest/offer(_:ram:vm:named:)``.
    case prepare(handoff: UInt64)
    /// Stop the guest: call ``RunningGuest/freeze(handoff:)`` and stage within the freeze deadline.
    case freeze(handoff: UInt64)
    /// The attempt is over; what was made for it can go. The guest runs on.
    case attemptOver(handoff: UInt64)
    /// Answer with ``RunningGuest/report(_:)``.
    case preflight
    /// Migrate the guest to another host; it runs on meanwhile. Ends with ``RunningGuest/stays(_:_:_:)`` or
    /// ``RunningGuest/depart(_:)``.
    case migrate(MigrationOrder)
    /// End that: the guest stays.
    case cancelMigration(MigrationID)
    /// This process does not own the guest: stop the vCPUs at once, give up everything, exit.
    case release(Refusal?)
  }

  /// Takes up what the registry sent, without waiting.
  ///
  /// - Returns: The next order, or nil when there is none; call again until it is nil.
  public mutating func process() throws(BatonError) -> Order? {
    if !link.isConnected {
      do throws(BatonError) {
        guard try link.connect(timeoutNanoseconds: 1_000_000_000) else { return nil }
        if link.isParkAsked { link.tell(.park(epoch: epoch)) }
      } catch .refused(let refusal, _) {
        return .release(refusal)
      }
    }
    while let message = try link.receive(until: 0) {
      guard case .source(var source) = link.side else { preconditionFailure("not an owner") }
      if case .preflight = message { return .preflight }
      if let order = try migrationOrder(message) { return order }
      if case .refusal(let refusal, _) = message {
        guard refusal.endsOwnership else {
          link.disconnect()
          return nil
        }
        return .release(refusal)
      }
      let action = source.take(message)
      link.side = .source(source)
      switch action {
      case .prepare(let handoff): return .prepare(handoff: handoff)
      case .freeze(let handoff): return .freeze(handoff: handoff)
      case .sayResumed(let handoff):
        link.presented = nil
        link.isParkAsked = false
        _ = link.takeDescriptors()
        link.tell(.resumed(handoff: handoff))
        return .attemptOver(handoff: handoff)
      case .sayRunning(let epoch): link.tell(.running(epoch: epoch, firstInstruction: 0))
      case .release(let refusal): return .release(refusal)
      case .goOn, .takeBack, .sayTookBack, .run, nil: continue
      }
    }
    return nil
  }

  /// An order about a migration. One that was taken up already is said again after each reconnect.
  private func migrationOrder(_ message: RegistryMessage) throws(BatonError) -> Order? {
    switch message {
    case .migrate(let id, let lock, let request):
      if link.migration?.id == id { return nil }
      if case .stays(id, _, _)? = link.stayed, let stayed = link.stayed {
        link.tell(stayed)
        return nil
      }
      let order = MigrationOrder(id: id, lock: lock, request: request)
      link.migration = order
      if !request.isPlanOnly { Rehearsal.performMigration() }
      return .migrate(order)
    case .cancelMigration(let id):
      if link.migration?.id == id { return .cancelMigration(id) }
      // It never heard of it, or has said already that it is over.
      if case .stays(id, _, _)? = link.stayed, let stayed = link.stayed {
        link.tell(stayed)
      } else {
        link.tell(.stays(id, .migrationCancelled, ""))
      }
      return nil
    case .welcome, .prepare, .offered, .freeze, .claim, .takeBack, .run, .release, .refusal, .preflight,
      .depart, .arrivalJournalled:
      return nil
    }
  }

  /// Offers the guest to the successor, while it runs.
  ///
  /// The descriptors stay the caller's. An empty state memfd is made here, outside of the blackout.
  ///
  /// - Parameters:
  ///   - ram: Borrowed memfds, one for each of the manifest's files, sealed with ``Seals/ram``.
  ///   - vm: The source's VM, so that the guest outlives this process once it is staged; nil to keep
  ///     it here. Must agree with `manifest.hasVM`. With way `move` it is the baton.
  ///   - named: Borrowed descriptors, one for each of the manifest's names.
  ///   - takeBackVM: Way `move`: the VM into which this process would take the guest back, so that it outlives
  ///     this process there too; nil to keep it here. Nobody gets it while this process lives.
  public mutating func offer(
    handoff: UInt64, _ manifest: Manifest, ram: [Int32], vm: Int32?, named: [Int32],
    takeBackVM: Int32? = nil
  ) throws(BatonError) {
    precondition(ram.count == manifest.files.count && named.count == manifest.names.count)
    precondition((vm != nil) == manifest.hasVM)
    precondition(takeBackVM == nil || manifest.way == .move)
    guard case .source(var source) = link.side else { preconditionFailure("not an owner") }
    let presented: DescriptorList
    do throws(SystemError) {
      let state = try Memfd.create(name: "baton-state", byteCount: 0)
      presented = try DescriptorList(
        duplicating: ram + [state.number] + (vm.map { [$0] } ?? []) + named
          + (takeBackVM.map { [$0] } ?? []))
    } catch {
      throw .system(error, doing: "making an offer")
    }
    link.manifest = manifest
    Rehearsal.performHandoff(isGuestStopped: false)
    let numbers = presented.borrowedNumbers
    link.presented = consume presented
    source.offered(way: manifest.way)
    link.side = .source(source)
    try link.send(
      .offer(handoff: handoff, manifest), descriptors: numbers, contextVMs: takeBackVM == nil ? 0 : 1)
  }

  /// Says that the guest cannot be handed over now; it runs on here.
  public mutating func decline(
    handoff: UInt64, _ refusal: Refusal, _ text: String
  ) throws(BatonError) {
    try link.send(.declined(handoff: handoff, refusal, text))
  }

  /// Asks the registry to take the guest into custody, because this process is about to be replaced by another one
  /// (restart in place). The guest runs on.
  ///
  /// It asks, nothing more; what follows are the usual orders. ``Order/prepare(handoff:)`` and
  /// ``Order/freeze(handoff:)`` come without a successor, then ``StagedGuest/awaitVerdict(takingBack:alarm:)``
  /// gives `release(nil)`: exit, and whoever comes next takes the guest out of custody.
  /// ``Order/attemptOver(handoff:)`` comes when the guest would not outlive this process (its VM was not offered
  /// with way `token`, the descriptor store is full, …): ask again, or go on. A successor that is there already is
  /// handed the guest as ever. The question is repeated when the connection is renewed; asking twice does no harm.
  public mutating func park() {
    link.isParkAsked = true
    link.tell(.park(epoch: epoch))
  }

  /// Answers a preflight.
  public mutating func report(_ checks: [PreflightCheck]) throws(BatonError) {
    try link.send(.preflightReport(checks))
  }

  /// The vCPUs stand still, by a freeze order that was taken up just now.
  ///
  /// - Parameter since: `CLOCK_MONOTONIC` of when the order was read, in nanoseconds.
  public consuming func freeze(handoff: UInt64, since: UInt64) -> FrozenGuest {
    let link = link
    guard case .source(var source) = link.side else { preconditionFailure("not an owner") }
    source.froze()
    link.side = .source(source)
    return FrozenGuest(link: link, handoff: handoff, since: since)
  }

  /// The guest has ended; the registry forgets its owner. Exit soon: the release deadline runs.
  public consuming func end() {
    link.tell(.ended(epoch: epoch))
  }
}
