import BatonCore
import BatonWire
import RegistryInterface
import Varlink

/// One call of Migrate, from the order to the migration's end. The migration does not depend on it.
final class MigrateCall {
  let guest: GuestName
  let id: MigrationID
  private let call: ServerCall.Number
  private weak var connection: OperatorConnection?
  private unowned let server: OperatorServer
  private var isOver = false
  private var hasBegun = false

  init(
    guest: GuestName, id: MigrationID, call: ServerCall.Number, connection: OperatorConnection,
    server: OperatorServer
  ) {
    self.guest = guest
    self.id = id
    self.call = call
    self.connection = connection
    self.server = server
  }

  /// Reports what happens to the guest's migration.
  func follow(_ event: TimelineEvent) {
    guard !isOver else { return }
    switch event.kind {
    case .guestGone:
      fail(.guestEnded(.init(guest: guest.text)))
    case .migrationStarted:
      guard event.migration?.id == id.hexadecimal else { return }
      hasBegun = true
      reply(.accepted, event.migration)
    case .migrationProgress where event.migration?.id == id.hexadecimal: reply(.progress, event.migration)
    case .migrationEnded where event.migration?.id == id.hexadecimal: reply(.finished, event.migration)
    case .alarmRaised where hasBegun: askForHelp()
    case .snapshot, .guestAppeared, .guestChanged, .handoffStarted, .phaseStarted, .phaseEnded, .handoffEnded,
      .alarmRaised, .alarmCleared, .migrationProgress, .migrationEnded:
      break
    }
  }

  /// A person has to settle it: the caller is not to wait for that.
  private func askForHelp() {
    guard let machine = server.driver.registry[guest], machine.leavingMigration?.id == id else { return }
    switch machine.record.phase {
    case .departing, .departed: reply(.finished, server.driver.migrationView(machine))
    case .idle, .staged, .claimed, .rollback, .lost, .ended, .arriving: break
    }
  }

  private func reply(_ step: MigrateStep, _ migration: Migration?) {
    if step == .finished { end() }
    guard let connection, let migration, let view = server.driver.view(guest) else { return }
    let message = MigrateReply(step: step, migration: migration, guest: view)
    _ = server.send(connection) { $0.reply(to: call, message, continues: step != .finished) }
  }

  private func fail(_ error: RegistryError) {
    end()
    if let connection { _ = server.send(connection) { $0.reply(to: call, error: error) } }
  }

  private func end() {
    isOver = true
    if server.migrations[guest] === self { server.migrations[guest] = nil }
  }
}
