import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd
import Varlink

/// The methods of `io.baton.Registry`.
extension OperatorServer {
  func answer(_ call: ServerCall, on connection: OperatorConnection) {
    guard !connection.isTooMany else {
      refuseQuota("connections", driver.configuration.quotas.operators, call, on: connection)
      connection.isEnding = true
      return
    }
    guard let method = RegistryMethod(rawValue: call.method) else {
      connection.varlink.reply(
        to: call.number, error: ServiceError.methodNotImplemented(method: call.fullName))
      return
    }
    if let needs = lack(method, connection) {
      connection.varlink.reply(
        to: call.number,
        error: RegistryError.notAllowed(
          .init(method: method.rawValue, userId: connection.peer.uid, needs: needs)))
      return
    }
    // What failed before this call is not to be counted against what it brings about.
    if method.changesState { driver.finishNotes(all: true) }
    do throws(ServiceError) { try answer(method, call, on: connection) } catch {
      connection.varlink.reply(to: call.number, error: error)
    }
  }

  private func answer(
    _ method: RegistryMethod, _ call: ServerCall, on connection: OperatorConnection
  ) throws(ServiceError) {
    switch method {
    case .list: connection.varlink.reply(to: call.number, ListReply(guests: driver.viewAll()))
    case .metrics: connection.varlink.reply(to: call.number, metrics)
    case .describe: describe(try call.parameters.decode(DescribeRequest.self), call, connection)
    case .watch:
      let request = try call.parameters.decode(WatchRequest.self)
      guard let text = request.guest else {
        follow(nil, call, on: connection)
        return
      }
      guard let guest = known(text, call, connection) else { return }
      follow(guest, call, on: connection)
    case .preflight:
      let request = try call.parameters.decode(PreflightRequest.self)
      guard let guest = known(request.guest, call, connection) else { return }
      driver.preflight(guest) { [unowned self, weak connection] checks in
        guard let connection else { return }
        _ = send(connection) {
          $0.reply(to: call.number, PreflightReply(guest: guest.text, checks: checks))
        }
      }
    case .upgrade:
      let request = try call.parameters.decode(UpgradeRequest.self)
      guard let guest = known(request.guest, call, connection) else { return }
      upgrade(guest, request, call, connection)
    case .abort:
      let request = try call.parameters.decode(AbortRequest.self)
      guard let guest = known(request.guest, call, connection) else { return }
      abort(guest, request, call, connection)
    case .migrate:
      let request = try call.parameters.decode(MigrateRequest.self)
      guard let guest = known(request.guest, call, connection) else { return }
      try migrate(guest, request.request, call, connection)
    case .settle:
      let request = try call.parameters.decode(SettleRequest.self)
      guard let guest = known(request.guest, call, connection) else { return }
      try settle(guest, request, call, connection)
    case .confirm:
      let request = try call.parameters.decode(ConfirmRequest.self)
      guard let guest = known(request.guest, call, connection) else { return }
      try confirm(guest, request, call, connection)
    case .departure:
      try departure(try call.parameters.decode(MigrationQuestion.self), call, connection)
    case .arrival:
      try arrival(try call.parameters.decode(MigrationQuestion.self), call, connection)
    }
  }

  /// The guest of that name, or nil after an error reply.
  private func known(_ text: String, _ call: ServerCall, _ connection: OperatorConnection) -> GuestName? {
    if let guest = GuestName(text), driver.registry[guest] != nil { return guest }
    connection.varlink.reply(to: call.number, error: RegistryError.unknownGuest(.init(guest: text)))
    return nil
  }

  /// uid 0, or the admin group by the credentials that the socket keeps.
  func mayChange(_ connection: OperatorConnection) -> Bool {
    if connection.peer.uid == 0 { return true }
    guard let group = driver.configuration.adminGroup else { return false }
    return connection.peer.gid == group || connection.groups.contains(group)
  }

  private func describe(_ request: DescribeRequest, _ call: ServerCall, _ connection: OperatorConnection) {
    guard let name = known(request.guest, call, connection), let guest = driver.view(name) else { return }
    var handoffs = driver.handoffs(of: name)
    if let number = request.handoff {
      handoffs.removeAll { $0.number != number }
      guard !handoffs.isEmpty else {
        connection.varlink.reply(
          to: call.number, error: RegistryError.unknownHandoff(.init(guest: name.text, handoff: number)))
        return
      }
    }
    connection.varlink.reply(to: call.number, DescribeReply(guest: guest, handoffs: handoffs))
  }

  // MARK: Abort

  private func abort(
    _ name: GuestName, _ request: AbortRequest, _ call: ServerCall, _ connection: OperatorConnection
  ) {
    guard let machine = driver.registry[name] else { return }
    if request.handoff == nil, abortMigration(machine, call, connection) { return }
    let number = machine.record.handoff
    if let wanted = request.handoff, wanted != number || !driver.isInHandoff(machine) {
      let last = driver.handoffs(of: name).first { $0.number == wanted }
      let error: RegistryError =
        switch last?.outcome {
        case .committed?: .alreadyCommitted(.init(guest: name.text, handoff: wanted))
        case .inProgress?, .takenBack?, .aborted?, .lost?, .ended?:
          .noHandoffInProgress(.init(guest: name.text))
        case nil: .unknownHandoff(.init(guest: name.text, handoff: wanted))
        }
      if !(upgrades[name]?.number == wanted) {
        connection.varlink.reply(to: call.number, error: error)
        return
      }
    }
    if let intent = upgrades[name], intent.isWaitingForSuccessor {
      let expected = intent.number
      intent.cancel()
      if let guest = driver.view(name) {
        connection.varlink.reply(
          to: call.number, AbortReply(number: expected, outcome: .aborted, guest: guest))
      }
      return
    }
    guard driver.isInHandoff(machine) else {
      connection.varlink.reply(
        to: call.number, error: RegistryError.noHandoffInProgress(.init(guest: name.text)))
      return
    }
    driver.submit(.abort, for: name)
    guard let guest = driver.view(name) else { return }
    let outcome = driver.handoffs(of: name).first { $0.number == number }?.outcome ?? .inProgress
    connection.varlink.reply(to: call.number, AbortReply(number: number, outcome: outcome, guest: guest))
  }

  // MARK: Upgrade

  private func upgrade(
    _ name: GuestName, _ request: UpgradeRequest, _ call: ServerCall, _ connection: OperatorConnection
  ) {
    guard let machine = driver.registry[name] else { return }
    let text = name.text
    let refusal: RegistryError? =
      switch machine.record.phase {
      case .lost: .guestLost(.init(guest: text, sentence: Refusal.guestLost.sentence))
      case .ended: .guestEnded(.init(guest: text))
      case .staged where driver.state(of: machine) == .waiting: nil
      case .staged, .claimed, .rollback:
        .handoffInProgress(
          .init(guest: text, handoff: machine.record.handoff, phase: driver.view(name)?.phase))
      case .idle where machine.step != .none || upgrades[name] != nil:
        .handoffInProgress(
          .init(guest: text, handoff: machine.record.handoff, phase: driver.view(name)?.phase))
      case .idle where machine.leavingMigration != nil: inProgress(machine)
      case .idle: nil
      case .departing, .arriving: inProgress(machine)
      case .departed: hasDeparted(machine, "there is nothing of it here that could be upgraded")
      }
    if let refusal {
      connection.varlink.reply(to: call.number, error: refusal)
      return
    }
    let upgrade = UpgradeCall(
      guest: name, request: request, call: call.number, connection: connection, server: self)
    upgrades[name] = upgrade
    upgrade.begin()
  }
}
