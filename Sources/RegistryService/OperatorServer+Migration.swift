import BatonCore
import BatonWire
import LinuxOS
import MigrationCore
import RegistryInterface
import Varlink

/// The methods about migrations to and from other hosts.
extension OperatorServer {
  // MARK: Who may call what

  /// What a caller lacks for a method that is not for all, or nil.
  func lack(_ method: RegistryMethod, _ connection: OperatorConnection) -> String? {
    let admins = driver.configuration.adminGroup.map { "uid 0 or group \($0)" } ?? "uid 0"
    switch method {
    case .list, .describe, .watch, .preflight, .metrics, .arrival: return nil
    case .upgrade, .abort, .migrate: return mayChange(connection) ? nil : admins
    case .settle, .confirm:
      return mayChange(connection) || isSidecar(connection) ? nil : "\(admins) or the user of baton-remote"
    case .departure:
      return connection.peer.uid == 0 || isSidecar(connection) ? nil : "uid 0 or the user of baton-remote"
    }
  }

  /// Whether it is baton-remote that calls, by the user of its process.
  private func isSidecar(_ connection: OperatorConnection) -> Bool {
    driver.configuration.remoteUsers.contains(connection.peer.uid)
  }

  // MARK: On the source

  func migrate(
    _ name: GuestName, _ wish: MigrationWish, _ call: ServerCall, _ connection: OperatorConnection
  ) throws(ServiceError) {
    let request = try request(wish)
    guard let machine = driver.registry[name] else { return }
    if let error = obstacle(to: machine) {
      connection.varlink.reply(to: call.number, error: error)
      return
    }
    let id = MigrationID.random()
    migrations[name] = MigrateCall(
      guest: name, id: id, call: call.number, connection: connection, server: self)
    driver.migrate(name, request, id)
    driver.finishNotes(all: true)
  }

  private func request(_ wish: MigrationWish) throws(ServiceError) -> MigrationRequest {
    guard MigrationRequest.isHost(wish.host) else { throw .invalidParameter(parameter: "host") }
    var request = MigrationRequest(host: wish.host)
    request.isPlanOnly = wish.planOnly ?? false
    if let pause = wish.maxPauseMilliseconds { request.maxPauseMilliseconds = UInt32(clamping: pause) }
    request.maxTimeSeconds = wish.maxTimeSeconds ?? 0
    request.bandwidthBytesPerSecond = wish.bandwidthBytesPerSecond ?? 0
    request.allowsNonconvergence = wish.allowNonconvergence ?? false
    return request
  }

  private func obstacle(to machine: GuestMachine) -> RegistryError? {
    let name = machine.record.name
    let guest = name.text
    if upgrades[name] != nil || driver.isInHandoff(machine) {
      return .handoffInProgress(
        .init(guest: guest, handoff: machine.record.handoff, phase: driver.view(name)?.phase))
    }
    guard let refusal = machine.migrationObstacle else {
      return driver.knowsMigration(machine) ? nil : refused(machine, .versionMismatch)
    }
    switch refusal {
    case .migrationUnderWay: return inProgress(machine)
    case .departed: return hasDeparted(machine, "it cannot leave again before it has come back")
    case .guestLost: return .guestLost(.init(guest: guest, sentence: refusal.sentence))
    case .guestEnded: return .guestEnded(.init(guest: guest))
    case .secondSuccessor:
      return .handoffInProgress(
        .init(guest: guest, handoff: machine.record.handoff, phase: driver.view(name)?.phase))
    case _: return refused(machine, refusal)
    }
  }

  private func refused(_ machine: GuestMachine, _ refusal: BatonWire.Refusal) -> RegistryError {
    .refusedByRegistry(
      .init(
        guest: machine.record.name.text,
        refusal: RegistryInterface.Refusal(
          name: refusal.name, sentence: refusal.sentence, by: refusal.refusedBy)))
  }

  func inProgress(_ machine: GuestMachine) -> RegistryError {
    let view = driver.migrationView(machine)
    return .migrationInProgress(
      .init(guest: machine.record.name.text, migration: view?.id ?? "", phase: view?.phase))
  }

  func hasDeparted(_ machine: GuestMachine, _ sentence: String) -> RegistryError {
    let migration = machine.record.migration
    return .guestDeparted(
      .init(
        guest: machine.record.name.text, migration: migration?.id.hexadecimal ?? "",
        host: migration?.peer ?? "", confirmed: migration?.course == .confirmed,
        sentence: sentence))
  }

  /// What Abort does about a migration; false when there is none that it could be about.
  func abortMigration(_ machine: GuestMachine, _ call: ServerCall, _ connection: OperatorConnection) -> Bool {
    let name = machine.record.name
    switch machine.record.phase {
    case .departing:
      connection.varlink.reply(
        to: call.number,
        error: hasDeparted(machine, "its VMM may have given it up already, so it cannot be called back"))
      return true
    case .departed:
      connection.varlink.reply(
        to: call.number, error: hasDeparted(machine, "it was given up and cannot be called back"))
      return true
    case .arriving:
      guard let migration = machine.record.migration,
        migration.course == .coming(isArrived: false, isShown: false)
      else {
        connection.varlink.reply(to: call.number, error: inProgress(machine))
        return true
      }
      driver.submit(.arrivalCancelled(migration.id), for: name)
      replyAborted(name, .aborted, call, connection)
      return true
    case .idle where machine.leavingMigration != nil:
      driver.submit(.abort, for: name)
      replyAborted(name, .inProgress, call, connection)
      return true
    case .idle, .staged, .claimed, .rollback, .lost, .ended: return false
    }
  }

  private func replyAborted(
    _ name: GuestName, _ outcome: Outcome, _ call: ServerCall, _ connection: OperatorConnection
  ) {
    driver.finishNotes(all: true)
    guard let guest = driver.view(name) else { return }
    connection.varlink.reply(to: call.number, AbortReply(number: 0, outcome: outcome, guest: guest))
  }

  func departure(
    _ question: MigrationQuestion, _ call: ServerCall, _ connection: OperatorConnection
  ) throws(ServiceError) {
    let (id, guest) = try parse(question)
    connection.varlink.reply(to: call.number, driver.departure(id, of: guest))
  }

  func confirm(
    _ name: GuestName, _ request: ConfirmRequest, _ call: ServerCall, _ connection: OperatorConnection
  ) throws(ServiceError) {
    let id = try parse(id: request.id)
    guard let machine = driver.registry[name] else { return }
    guard let migration = machine.record.migration, migration.id == id else {
      connection.varlink.reply(
        to: call.number, error: RegistryError.noMigration(.init(guest: name.text, migration: request.id)))
      return
    }
    switch migration.course {
    case .leaving where machine.record.phase == .departed:
      driver.submit(.departureConfirmed(id), for: name)
      driver.finishNotes(all: true)
    case .confirmed: break
    case .leaving, .coming, .came:
      connection.varlink.reply(to: call.number, error: inProgress(machine))
      return
    }
    if let guest = driver.view(name) { connection.varlink.reply(to: call.number, ConfirmReply(guest: guest)) }
  }

  // MARK: On the target

  func arrival(
    _ question: MigrationQuestion, _ call: ServerCall, _ connection: OperatorConnection
  ) throws(ServiceError) {
    let (id, guest) = try parse(question)
    connection.varlink.reply(to: call.number, driver.arrival(id, of: guest))
  }

  func settle(
    _ name: GuestName, _ request: SettleRequest, _ call: ServerCall, _ connection: OperatorConnection
  ) throws(ServiceError) {
    let id = try parse(id: request.id)
    guard let machine = driver.registry[name] else { return }
    let error: RegistryError?
    if let text = request.receipt {
      guard let receipt = DepartureReceipt(hexadecimal: text) else {
        throw .invalidParameter(parameter: "receipt")
      }
      error = show(receipt, id, machine)
    } else if request.cancelled == true {
      guard mayChange(connection) else {
        let needs = driver.configuration.adminGroup.map { "uid 0 or group \($0)" } ?? "uid 0"
        connection.varlink.reply(
          to: call.number,
          error: RegistryError.notAllowed(
            .init(method: RegistryMethod.settle.rawValue, userId: connection.peer.uid, needs: needs)))
        return
      }
      error = cancel(id, machine)
    } else {
      throw .invalidParameter(parameter: "receipt")
    }
    if let error {
      connection.varlink.reply(to: call.number, error: error)
      return
    }
    let settle = SettleCall(guest: name, id: id, call: call.number, connection: connection, server: self)
    settles.append(settle)
    driver.finishNotes(all: true)
    settle.begin()
  }

  private func show(
    _ receipt: DepartureReceipt, _ id: MigrationID, _ machine: GuestMachine
  ) -> RegistryError? {
    let name = machine.record.name
    guard machine.record.migration?.id == id else {
      return .noMigration(.init(guest: name.text, migration: id.hexadecimal))
    }
    let lock = DepartureLock(of: receipt, for: id)
    if let refusal = machine.objection(toReceiptOf: id, fitting: lock) {
      driver.metrics.count(refusal)
      return .migrationRefused(
        .init(
          guest: name.text, migration: id.hexadecimal,
          refusal: RegistryInterface.Refusal(
            name: refusal.name, sentence: refusal.sentence, by: refusal.refusedBy)))
    }
    driver.submit(.receiptShown(id, lock: lock), for: name)
    return nil
  }

  private func cancel(_ id: MigrationID, _ machine: GuestMachine) -> RegistryError? {
    let name = machine.record.name
    guard let migration = machine.record.migration, migration.id == id else {
      return .noMigration(.init(guest: name.text, migration: id.hexadecimal))
    }
    switch migration.course {
    case .coming(_, isShown: false):
      driver.submit(.arrivalCancelled(id), for: name)
      return nil
    case .coming, .came:
      let refusal = BatonWire.Refusal.departed
      return .migrationRefused(
        .init(
          guest: name.text, migration: id.hexadecimal,
          refusal: RegistryInterface.Refusal(
            name: refusal.name,
            sentence: "the source gave the guest up, its receipt was shown here; the guest is here",
            by: .registry)))
    case .leaving, .confirmed: return .noMigration(.init(guest: name.text, migration: id.hexadecimal))
    }
  }

  // MARK: Parameters

  private func parse(id text: String) throws(ServiceError) -> MigrationID {
    guard let id = MigrationID(hexadecimal: text) else { throw .invalidParameter(parameter: "id") }
    return id
  }

  private func parse(_ question: MigrationQuestion) throws(ServiceError) -> (MigrationID, GuestName?) {
    let id = try parse(id: question.id)
    guard let text = question.guest else { return (id, nil) }
    guard let guest = GuestName(text) else { throw .invalidParameter(parameter: "guest") }
    return (id, guest)
  }
}
