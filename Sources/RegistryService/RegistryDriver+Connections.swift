import BatonCore
import BatonWire
import LinuxOS
import MigrationCore
import Systemd

/// Connections of VMMs: how they begin, what comes in, how they end.
extension RegistryDriver {
  /// Takes a connection that was accepted.
  func accepted(_ descriptor: consuming OwnedDescriptor) {
    do throws(SystemError) {
      let peer = try PeerIdentity(of: descriptor)
      guard let process = try watch(peer, on: descriptor) else { return }
      let connection = VMMConnection(
        socket: SeqpacketSocket(adopting: descriptor), peer: peer, process: process)
      let number = connection.descriptor
      connection.source = try loop.watch(number, priority: .records) {
        [unowned self, unowned connection] ready in
        handle(ready, on: connection)
      }
      process.connections[ObjectIdentifier(connection)] = connection
      connectionCounts[peer.uid, default: 0] += 1
      metrics.connected()
      guard connectionCounts[peer.uid, default: 0] <= configuration.quotas.connections else {
        refuse(
          connection, .quotaExceeded,
          "user \(peer.uid) has \(configuration.quotas.connections) connections, more are not allowed")
        return
      }
      connection.helloTimer = loop.schedule(
        after: UInt64(configuration.helloMilliseconds) * 1_000_000
      ) { [unowned self, weak connection] in
        guard let connection, !connection.hasSaidHello else { return }
        refuse(connection, .deadlinePassed, "no hello came within \(configuration.helloMilliseconds) ms")
      }
    } catch {
      log.write(
        .warning, "a connection could not be taken: \(error)",
        messageID: RegistryMessageID.connectionTrouble.rawValue)
    }
  }

  /// The process behind a connection, held from now on; nil when it has ended already.
  private func watch(
    _ peer: PeerIdentity, on descriptor: borrowing OwnedDescriptor
  ) throws(SystemError) -> WatchedProcess? {
    let pidfd = try Pidfd.peer(of: descriptor)
    guard peer.pid > 0, let start = ProcessStartTime.of(pid: peer.pid), !pidfd.hasExited() else { return nil }
    let id = ProcessID(pid: peer.pid, startTime: start)
    if let known = processes[id] { return known }
    return try watch(WatchedProcess(id: id, user: peer.uid, pidfd: pidfd))
  }

  /// Waits for a process's end.
  func watch(_ process: WatchedProcess) throws(SystemError) -> WatchedProcess {
    process.source = try loop.watch(process.descriptor, priority: .processes) {
      [unowned self, unowned process] _ in ended(process)
    }
    processes[process.id] = process
    return process
  }

  // MARK: Records

  private func handle(_ ready: EventSource.Readiness, on connection: VMMConnection) {
    if ready.isWritable, !connection.flush() {
      connectionBroke(connection)
      return
    }
    guard ready.isReadable || ready.isHungUp else { return }
    if isHeld(connection) {
      held.removeAll { $0.connection === connection }
      forget(connection)
      return
    }
    receiveOne(from: connection)
  }

  /// - Returns: Whether there may be more.
  @discardableResult
  private func receiveOne(from connection: VMMConnection) -> Bool {
    let outcome = connection.receive(into: &buffer) { message, descriptors in
      metrics.received()
      take(message, descriptors, from: connection, arrival: MonotonicClock.now())
    }
    switch outcome {
    case .taken: return true
    case .nothing: return false
    case .end:
      connectionBroke(connection)
      return false
    case .malformed(let refusal, let detail):
      refuse(connection, refusal, "\(refusal.sentence): \(detail)")
      return false
    }
  }

  private func take(
    _ message: Message, _ descriptors: consuming DescriptorList, from connection: VMMConnection,
    arrival: UInt64
  ) {
    let decoded: VMMMessage
    do throws(WireError) { decoded = try VMMMessage(decoding: message) } catch {
      let refusal = error.refusal
      refuse(connection, refusal, "\(refusal.sentence): \(error)")
      return
    }
    guard let guest = connection.guest else {
      guard case .hello(let hello) = decoded else {
        refuse(
          connection, .protocolViolation,
          "\(Refusal.protocolViolation.sentence): the first record is no hello")
        return
      }
      greet(hello, descriptors, on: connection, arrival: arrival)
      return
    }
    switch decoded {
    case .hello:
      refuse(
        connection, .protocolViolation, "\(Refusal.protocolViolation.sentence): a connection has one hello")
    case .offer(let handoff, let manifest):
      offer(handoff, manifest, descriptors, from: connection, guest, arrival: arrival)
    case .stage(let handoff, let stage):
      self.stage(handoff, stage, descriptors, from: connection, guest, arrival: arrival)
    case .ready(let handoff):
      guard let vm = successorVM(descriptors, of: connection) else {
        report(.ready(handoff), from: connection, guest, arrival)
        return
      }
      secure(vm, for: handoff, from: connection, guest) { [unowned self] vm, fault in
        if let fault {
          decline(handoff, fault, from: connection, guest, arrival)
        } else {
          report(.ready(handoff), from: connection, guest, arrival, descriptors: vm)
        }
      }
    case .received(let handoff): report(.received(handoff), from: connection, guest, arrival)
    case .refused(let handoff, let used):
      report(.refused(handoff, used: used, returned: nil), from: connection, guest, arrival)
    case .tookBack(let handoff): report(.tookBack(handoff), from: connection, guest, arrival)
    case .used(let handoff): report(.used(handoff), from: connection, guest, arrival)
    case .resumed(let handoff): report(.resumed(handoff), from: connection, guest, arrival)
    case .running(let epoch, let first):
      report(.running(epoch, firstInstruction: first), from: connection, guest, arrival)
    case .declined(let handoff, let refusal, let text):
      if registry[guest]?.record.handoff == handoff {
        context(guest).ownReason = (refusal, text)
        context(guest).declinedBy = connection.process.id
      }
      report(.declined(handoff, refusal), from: connection, guest, arrival)
    case .preflightReport(let checks):
      let waiting = context(guest).preflights
      context(guest).preflights = []
      for request in waiting { request.complete(checks) }
    case .ended(let epoch): report(.ended(epoch), from: connection, guest, arrival)
    case .described(let manifest):
      do throws(Manifest.Problem) {
        try manifest.validate()
      } catch {
        refuse(connection, .badManifest, "\(error)")
        return
      }
      if registry[guest]?.record.owner == connection.process.id { context(guest).manifest = manifest }
      report(.described(manifest.way), from: connection, guest, arrival)
    case .park(let epoch): report(.park(epoch), from: connection, guest, arrival)
    case .departing(let id): report(.departing(id), from: connection, guest, arrival)
    case .departed(let id): report(.departed(id), from: connection, guest, arrival)
    case .stays(let id, let refusal, let text):
      if let record = registry[guest]?.record, record.migration?.id == id,
        record.owner == connection.process.id
      {
        context(guest).ownReason = (refusal, text)
      }
      report(.stays(id, refusal), from: connection, guest, arrival)
    case .arrived(let id): report(.arrived(id), from: connection, guest, arrival)
    case .receipt(let id, let receipt):
      report(.receipt(id, lock: DepartureLock(of: receipt, for: id)), from: connection, guest, arrival)
    case .migrationReport(let id, let figures): take(figures, of: id, from: connection, guest)
    case .confirmed(let id): report(.confirmed(id), from: connection, guest, arrival)
    }
  }

  private func report(
    _ report: Report, from connection: VMMConnection, _ guest: GuestName, _ arrival: UInt64,
    descriptors: IncomingDescriptors? = nil
  ) {
    submit(
      .report(
        connection.process.id, report, isAlive: connection.process.isAlive,
        bringsVM: descriptors?.bringsVM ?? false), for: guest, descriptors: descriptors, arrival: arrival)
  }

  // MARK: Offers and stages

  private func offer(
    _ handoff: UInt64, _ manifest: Manifest, _ descriptors: consuming DescriptorList,
    from connection: VMMConnection, _ guest: GuestName, arrival: UInt64
  ) {
    do throws(DescriptorFault) {
      try check(manifest, descriptors, of: connection.peer.uid, context(guest))
      try DescriptorCheck.checkEmptyState(descriptors, at: manifest.files.count)
    } catch {
      decline(handoff, error, from: connection, guest, arrival)
      return
    }
    context(guest).manifest = manifest
    if manifest.way == .token, !manifest.hasVM, registry[guest]?.isParking ?? false {
      context(guest).ownReason = (
        .sourceDeclined,
        "its VM was not offered, so the guest would end with the process that is to be replaced"
      )
    }
    secure(IncomingDescriptors(.offer(manifest), descriptors), for: handoff, from: connection, guest) {
      [unowned self] incoming, fault in
      if let fault {
        decline(handoff, fault, from: connection, guest, arrival)
      } else {
        report(.offer(handoff, manifest), from: connection, guest, arrival, descriptors: incoming)
      }
    }
  }

  /// An offer that cannot be passed on ends the attempt; the guest runs on at its source.
  private func decline(
    _ handoff: UInt64, _ fault: DescriptorFault, from connection: VMMConnection, _ guest: GuestName,
    _ arrival: UInt64
  ) {
    context(guest).ownReason = (fault.refusal, fault.detail)
    log.write(
      .warning, "the offer of guest \(guest) for handoff \(handoff) is refused: \(fault.detail)",
      messageID: fault.refusal.journalMessageID,
      fields: fields(connection, fault.refusal) + [("BATON_HANDOFF", "\(handoff)")])
    report(.declined(handoff, fault.refusal), from: connection, guest, arrival)
  }

  private func stage(
    _ handoff: UInt64, _ stage: Stage, _ descriptors: consuming DescriptorList,
    from connection: VMMConnection, _ guest: GuestName, arrival: UInt64
  ) {
    do throws(DescriptorFault) {
      try DescriptorCheck.checkState(stage, descriptors, at: 0)
    } catch {
      guard registry[guest]?.record.phase == .idle else {
        refuse(connection, error.refusal, "\(error.refusal.sentence): \(error.detail)")
        return
      }
      // The source has stopped and may not go on by itself: the attempt is aborted first, so that the
      // stage is answered with an order to take the guest back.
      context(guest).ownReason = (error.refusal, error.detail)
      log.write(
        .warning, "the stage of guest \(guest) for handoff \(handoff) is refused: \(error.detail)",
        messageID: error.refusal.journalMessageID,
        fields: fields(connection, error.refusal) + [("BATON_HANDOFF", "\(handoff)")])
      submit(.abort, for: guest, arrival: arrival)
      report(.staged(handoff, stage), from: connection, guest, arrival)
      return
    }
    report(
      .staged(handoff, stage), from: connection, guest, arrival,
      descriptors: IncomingDescriptors(.stage, descriptors))
  }

  /// A successor's own VM, if one came and its user may have one more descriptor in custody: without it the
  /// guest is handed over all the same, and does not outlive this successor.
  func successorVM(
    _ descriptors: consuming DescriptorList, of connection: VMMConnection
  ) -> IncomingDescriptors? {
    let held = custodyCounts[connection.peer.uid, default: 0]
    guard held < configuration.quotas.descriptors else { return nil }
    return .successorVM(of: connection.process.id, descriptors)
  }

  /// Manifest, RAM and quota of an offer.
  func check(
    _ manifest: Manifest, _ descriptors: borrowing DescriptorList, of user: UInt32, _ context: GuestContext?
  ) throws(DescriptorFault) {
    do throws(Manifest.Problem) { try manifest.validate() } catch {
      throw DescriptorFault(refusal: .badManifest, detail: error.description)
    }
    let others =
      custodyCounts[user, default: 0] - (context?.custodyUser == user ? context?.custody.count ?? 0 : 0)
    guard others + descriptors.count <= configuration.quotas.descriptors else {
      throw DescriptorFault(
        refusal: .quotaExceeded,
        detail: "user \(user) would have more than \(configuration.quotas.descriptors) descriptors in custody"
      )
    }
    try DescriptorCheck.checkRAM(manifest, descriptors)
  }

  // MARK: Ends

  /// Refuses what was asked and waits for the peer to go.
  func refuse(_ connection: VMMConnection, _ refusal: Refusal, _ sentence: String) {
    guard !connection.isClosing, !connection.isClosed else { return }
    metrics.count(refusal)
    if refusal.isAboutRecords { metrics.refused() }
    connection.refuse(refusal, sentence)
    log.write(
      .notice,
      "process \(connection.peer.pid) of user \(connection.peer.uid)\(connection.guest.map { " for guest \($0)" } ?? "") is refused: \(sentence)",
      messageID: refusal.journalMessageID,
      fields: fields(connection, refusal))
    if let guest = connection.guest { lost(connection, of: guest) }
    lingering[ObjectIdentifier(connection)] = loop.schedule(after: 1_000_000_000) {
      [unowned self, weak connection] in
      if let connection { forget(connection) }
    }
  }

  /// The peer is gone, or does not read.
  func connectionBroke(_ connection: VMMConnection) {
    guard !connection.isClosed else { return }
    let guest = connection.guest
    let wasClosing = connection.isClosing
    forget(connection)
    guard let guest, !wasClosing else { return }
    // A process that ends closes its connections a moment before its pidfd says so, and that says more.
    lingering[ObjectIdentifier(connection)] = loop.schedule(after: 5_000_000) { [unowned self] in
      lingering[ObjectIdentifier(connection)] = nil
      lost(connection, of: guest)
    }
  }

  /// The connection no longer speaks for its process.
  private func lost(_ connection: VMMConnection, of guest: GuestName) {
    let key = ConnectionKey(guest: guest, process: connection.process.id)
    guard connections[key] === connection else { return }
    connections[key] = nil
    submit(.disconnected(connection.process.id), for: guest)
  }

  /// Takes the place of an older connection of the same process for the same guest.
  func replaceConnection(_ key: ConnectionKey, by connection: VMMConnection) {
    if let old = connections[key], old !== connection {
      connections[key] = nil
      forget(old)
      submit(.disconnected(key.process), for: key.guest)
    }
    connections[key] = connection
  }

  /// Closes a connection and drops what is kept for it.
  func forget(_ connection: VMMConnection) {
    guard !connection.isClosed else { return }
    connection.close()
    lingering[ObjectIdentifier(connection)] = nil
    metrics.disconnected()
    let count = connectionCounts[connection.peer.uid, default: 1] - 1
    connectionCounts[connection.peer.uid] = count > 0 ? count : nil
    let process = connection.process
    process.connections[ObjectIdentifier(connection)] = nil
    // A process that no guest has heard of need not be watched.
    if process.connections.isEmpty, process.guests.isEmpty { processes[process.id] = nil }
  }

  /// The pidfd says that the process has ended: what it had sent is processed first (model rule R3).
  private func ended(_ process: WatchedProcess) {
    process.source = nil
    for connection in Array(process.connections.values) {
      while receiveOne(from: connection) {}
      if isHeld(connection) { held.removeAll { $0.connection === connection } }
      forget(connection)
    }
    depart(process.id)
    for guest in process.guests.sorted() {
      connections[ConnectionKey(guest: guest, process: process.id)] = nil
      submit(.died(process.id), for: guest)
    }
  }
}

extension WireError {
  /// How a record that cannot be read is refused.
  var refusal: Refusal {
    switch self {
    case .wrongVersion: .versionMismatch
    case .wrongDescriptorCount, .tooManyDescriptors: .descriptorMismatch
    case .truncated, .trailingBytes, .badMagic, .unknownType, .wrongLength, .payloadTooLong,
      .brokenContinuation, .badValue:
      .malformedRecord
    }
  }
}
