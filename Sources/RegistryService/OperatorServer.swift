import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd
import Varlink

/// The operators' side: Varlink connections, their calls, and those who follow events.
final class OperatorServer {
  let driver: RegistryDriver
  let started = MonotonicClock.now()
  private let service: Service
  private var connections: [ObjectIdentifier: OperatorConnection] = [:]
  private var watchers: [Watcher] = []
  var upgrades: [GuestName: UpgradeCall] = [:]
  var migrations: [GuestName: MigrateCall] = [:]
  var settles: [SettleCall] = []

  /// A call of Watch.
  private struct Watcher {
    let connection: OperatorConnection
    let call: ServerCall.Number
    let guest: GuestName?
    var sequence: UInt64
  }

  init(driver: RegistryDriver) {
    self.driver = driver
    service = BatonRegistry.service(
      vendor: "Baton", product: "batond", version: ProgramVersion.text, url: "https://varlink.org")
    driver.observer = { [unowned self] in publish($0) }
    driver.onSuccessorFailed = { [unowned self] guest, refusal in
      upgrades[guest]?.successorFailed(refusal)
    }
  }

  /// Takes a connection that was accepted.
  func accepted(_ descriptor: consuming OwnedDescriptor) {
    do throws(SystemError) {
      let quotas = driver.configuration.quotas
      let isTooMany = connections.count >= quotas.operators
      if isTooMany { driver.metrics.count(.quotaExceeded) }
      guard connections.count < quotas.operators + quotas.operatorsTold else { return }
      try descriptor.setNonblocking(true)
      let connection = try OperatorConnection(
        socket: StreamSocket(adopting: descriptor), service: service, isTooMany: isTooMany)
      connection.source = try driver.loop.watch(connection.descriptor, priority: .operators) {
        [unowned self, unowned connection] ready in handle(ready, on: connection)
      }
      connections[ObjectIdentifier(connection)] = connection
      driver.metrics.operatorConnected()
    } catch {
      driver.log.write(
        .warning, "a connection of an operator could not be taken: \(error)",
        messageID: RegistryMessageID.connectionTrouble.rawValue)
    }
  }

  /// Everybody who waits is told that the registry stops.
  func stop() {
    for connection in Array(connections.values) {
      if let call = connection.varlink.currentCall {
        connection.varlink.reply(to: call.number, error: RegistryError.stopping)
        _ = connection.write()
      }
      close(connection)
    }
  }

  // MARK: Input and output

  private func handle(_ ready: EventSource.Readiness, on connection: OperatorConnection) {
    if ready.isReadable || ready.isHungUp {
      guard connection.read(), !ready.isHungUp || ready.isReadable else {
        close(connection)
        return
      }
    }
    pump(connection)
  }

  /// Answers calls and writes replies until nothing more can be done now.
  func pump(_ connection: OperatorConnection) {
    guard !connection.isClosed else { return }
    do throws(ProtocolViolation) {
      while let call = try connection.varlink.nextCall() { answer(call, on: connection) }
    } catch {
      driver.metrics.counters.recordsRefused += 1
      driver.log.write(
        .notice, "an operator's connection of user \(connection.peer.uid) is closed: \(error)",
        messageID: RegistryMessageID.operatorViolation.rawValue,
        fields: [("BATON_PEER_PID", "\(connection.peer.pid)")])
    }
    guard !connection.isClosed else { return }
    guard connection.write(), !connection.varlink.shouldClose,
      !connection.isEnding || connection.varlink.wantsOutput
    else {
      close(connection)
      return
    }
    connection.updateInterest()
  }

  private func close(_ connection: OperatorConnection) {
    guard !connection.isClosed else { return }
    connection.close()
    connections[ObjectIdentifier(connection)] = nil
    watchers.removeAll { $0.connection === connection }
    driver.metrics.operatorDisconnected()
  }

  /// Replies from outside of a call's own turn.
  func send(_ connection: OperatorConnection, _ reply: (inout ServerConnection) -> Bool) -> Bool {
    guard !connection.isClosed else { return false }
    let isWanted = reply(&connection.varlink)
    pump(connection)
    return isWanted && !connection.isClosed
  }

  func refuseQuota(
    _ quota: String, _ limit: Int, _ call: ServerCall, on connection: OperatorConnection
  ) {
    driver.metrics.count(.quotaExceeded)
    connection.varlink.reply(
      to: call.number, error: RegistryError.quotaExceeded(.init(quota: quota, limit: UInt64(limit))))
  }

  /// Counts, levels and distributions of now.
  var metrics: MetricsReply {
    var counters = driver.countersNow(since: started)
    counters.operatorWatches = UInt64(watchers.count)
    return MetricsReply(
      counters: counters, histograms: driver.metrics.views,
      build: Build(version: ProgramVersion.text, buildId: BuildID.ofThisProgram))
  }

  // MARK: Events

  func follow(_ guest: GuestName?, _ call: ServerCall, on connection: OperatorConnection) {
    let limit = driver.configuration.quotas.watches
    guard watchers.count < limit else {
      refuseQuota("watches", limit, call, on: connection)
      return
    }
    var snapshot = WatchEvent(
      sequence: 0, realtimeMicroseconds: MonotonicClock.wallTime() / 1000, kind: .snapshot)
    snapshot.guests = guest.map { name in driver.view(name).map { [$0] } ?? [] } ?? driver.viewAll()
    connection.varlink.reply(to: call.number, snapshot, continues: true)
    watchers.append(Watcher(connection: connection, call: call.number, guest: guest, sequence: 1))
  }

  private func publish(_ event: TimelineEvent) {
    upgrades[event.guest]?.follow(event)
    migrations[event.guest]?.follow(event)
    for settle in settles { settle.follow() }
    guard !watchers.isEmpty else { return }
    let guest = driver.view(event.guest) ?? event.last
    for index in watchers.indices where watchers[index].guest.map({ $0 == event.guest }) ?? true {
      let message = WatchEvent(
        sequence: watchers[index].sequence, realtimeMicroseconds: MonotonicClock.wallTime() / 1000,
        kind: event.kind, guest: guest, handoff: event.handoff, phase: event.phase,
        migration: event.migration)
      watchers[index].sequence += 1
      watchers[index].connection.varlink.reply(to: watchers[index].call, message, continues: true)
    }
    for connection in watchers.map(\.connection) { pump(connection) }
  }
}
