import BatonCore
import BatonWire
import LinuxOS
import Systemd

/// A first record that waits until the registry has settled.
struct HeldHello {
  let connection: VMMConnection
  let guest: GuestName
  let report: Report
  let reads: ReadableFormats
  let manifest: Manifest?
  let descriptors: IncomingDescriptors?
}

/// The first record of a connection: where a VMM stands.
extension RegistryDriver {
  func isHeld(_ connection: VMMConnection) -> Bool {
    !held.isEmpty && held.contains { $0.connection === connection }
  }

  /// Checks who speaks and what came along, and lets it in, or holds it while the registry settles.
  func greet(
    _ hello: Hello, _ descriptors: consuming DescriptorList, on connection: VMMConnection, arrival: UInt64
  ) {
    guard let version = ProtocolVersion.spoken.agreed(with: hello.versions) else {
      refuse(
        connection, .versionMismatch,
        "\(Refusal.versionMismatch.sentence): the registry speaks \(ProtocolVersion.spoken.oldest) to \(ProtocolVersion.spoken.newest), the VMM \(hello.versions.oldest) to \(hello.versions.newest)"
      )
      return
    }
    guard let used = connection.firstRecordVersion,
      (hello.versions.oldest...hello.versions.newest).contains(used)
    else {
      refuse(
        connection, .versionMismatch,
        "\(Refusal.versionMismatch.sentence): the hello came in a version that its own text does not name")
      return
    }
    connection.agree(on: version)
    guard let guest = GuestName(hello.guest) else {
      refuse(connection, .badGuestName, Refusal.badGuestName.sentence)
      return
    }
    if let objection = objection(to: connection, hello.standing, for: guest) {
      refuse(connection, objection.refusal, objection.sentence)
      return
    }
    guard hasRoom(for: guest, of: connection.peer.uid) else {
      refuse(
        connection, .quotaExceeded,
        "user \(connection.peer.uid) has \(configuration.quotas.guests) guests, more are not allowed")
      return
    }
    do throws(DescriptorFault) {
      let incoming = try accept(hello, descriptors, of: connection, guests[guest])
      enter(hello, incoming, guest, connection, arrival)
    } catch {
      refuse(connection, error.refusal, "\(error.refusal.sentence): \(error.detail)")
    }
  }

  private func enter(
    _ hello: Hello, _ descriptors: IncomingDescriptors?, _ guest: GuestName, _ connection: VMMConnection,
    _ arrival: UInt64
  ) {
    connection.guest = guest
    connection.helloTimer?.cancel()
    connection.process.build = hello.build
    let first = HeldHello(
      connection: connection, guest: guest, report: Report(hello.standing), reads: hello.reads,
      manifest: hello.manifest, descriptors: descriptors)
    // What an older connection said is void, and it may not have been seen to end yet.
    for old in held where old.guest == guest && old.connection.process.id == connection.process.id {
      held.removeAll { $0.connection === old.connection }
      forget(old.connection)
    }
    if registry.mustWait(first.report, for: guest) {
      held.append(first)
      connection.source?.setInterest(.hangUp)
    } else {
      admit(first, arrival: arrival)
    }
  }

  /// Hands a first record in.
  func admit(_ first: HeldHello, arrival: UInt64 = MonotonicClock.now()) {
    let connection = first.connection
    let process = connection.process
    let context = context(first.guest)
    process.guests.insert(first.guest)
    replaceConnection(ConnectionKey(guest: first.guest, process: process.id), by: connection)
    let before = registry[first.guest]
    if before == nil { context.user = connection.peer.uid }
    if let manifest = first.manifest, before?.record.owner == nil || before?.record.owner == process.id {
      context.manifest = manifest
    }
    submit(
      .hello(
        process.id, first.report, reads: first.reads, manifest: first.manifest, isAlive: process.isAlive,
        bringsVM: first.descriptors?.bringsVM ?? false), for: first.guest, descriptors: first.descriptors,
      hello: connection, arrival: arrival)
    guard let record = registry[first.guest]?.record else {
      // Nothing is known of this guest, and nothing began.
      process.guests.remove(first.guest)
      if guests[first.guest]?.journalled == nil { guests[first.guest] = nil }
      return
    }
    if case .staged(let handoff, let stage) = first.report {
      resumeTimeline(handoff, stage, of: process.id, context)
    }
    if record.owner == process.id {
      context.takeOwner(process)
      if let manifest = first.manifest { context.manifest = manifest }
    }
  }

  private func hasRoom(for guest: GuestName, of user: UInt32) -> Bool {
    if let phase = registry[guest]?.record.phase, !isOver(phase) { return true }
    return guestCount(of: user) < configuration.quotas.guests
  }

  /// Guests of a user that are neither over nor gone.
  func guestCount(of user: UInt32) -> Int {
    guests.values.count { context in
      guard context.user == user, let machine = registry[context.name] else { return false }
      // One that has left and is not confirmed is remembered for as long as that takes.
      return !isOver(machine.record.phase) || machine.leavingMigration != nil
    }
  }

  /// Checks a manifest, and the descriptors that a standing brings along.
  private func accept(
    _ hello: Hello, _ descriptors: consuming DescriptorList, of connection: VMMConnection,
    _ context: GuestContext?
  ) throws(DescriptorFault) -> IncomingDescriptors? {
    let stage: Stage
    let isReturned: Bool
    switch hello.standing {
    case .staged(_, let staged): (stage, isReturned) = (staged, false)
    case .refused(_, let returned?): (stage, isReturned) = (returned, true)
    case .refused, .fresh, .attached, .claiming, .received, .tookBack, .running, .arriving, .departing:
      if let manifest = hello.manifest {
        do throws(Manifest.Problem) { try manifest.validate() } catch {
          throw DescriptorFault(refusal: .badManifest, detail: error.description)
        }
      }
      return successorVM(descriptors, of: connection)
    }
    guard let manifest = hello.manifest else {
      throw DescriptorFault(refusal: .badManifest, detail: "this standing needs a manifest")
    }
    try check(manifest, descriptors, of: connection.peer.uid, context)
    try DescriptorCheck.checkState(stage, descriptors, at: manifest.files.count)
    return IncomingDescriptors(isReturned ? .returned(manifest) : .offer(manifest), descriptors)
  }

  /// The time to come back is over: the held ones are heard, then verdicts are given.
  func settle() {
    let waiting = held.sorted {
      Registry.rankWhenSettling($0.report) < Registry.rankWhenSettling($1.report)
    }
    held = []
    for first in waiting where !first.connection.isClosed {
      first.connection.source?.setInterest(.readable)
      admit(first)
    }
    do throws(SystemError) { try journal.rename(to: configuration.journalPath) } catch {
      fail("the journal cannot be named: \(error)")
      return
    }
    for (guest, effects) in registry.settle() { carryOut(effects, for: guest) }
    finishNotes()
    log.write(
      .notice, "settled: \(registry.guests.count) guests are known, verdicts are given from now on",
      messageID: RegistryMessageID.settled.rawValue)
  }
}
