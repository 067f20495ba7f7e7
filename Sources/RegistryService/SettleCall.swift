import BatonCore
import BatonWire
import RegistryInterface
import Systemd
import Varlink

/// One call of Settle that brought a receipt, until the guest's VMM says that it runs the guest.
///
/// Whoever hears `running` may throw the receipt away, so it is said only when the verdict has arrived; if that takes
/// long the answer is `arrived`, and the call may be repeated.
final class SettleCall {
  /// How long the VMM may take, in nanoseconds.
  private static let patience: UInt64 = 2_000_000_000

  private let guest: GuestName
  private let id: MigrationID
  private let call: ServerCall.Number
  private weak var connection: OperatorConnection?
  private unowned let server: OperatorServer
  private var timer: LoopTimer?
  private var isOver = false

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

  func begin() {
    timer = server.driver.loop.schedule(after: Self.patience) { [unowned self] in reply() }
    follow()
  }

  /// Something happened to the guest.
  func follow() {
    if !isOver, server.driver.arrival(id, of: guest).state != .arrived { reply() }
  }

  private func reply() {
    guard !isOver else { return }
    isOver = true
    timer?.cancel()
    server.settles.removeAll { $0 === self }
    guard let connection, let view = server.driver.view(guest) else { return }
    let state = server.driver.arrival(id, of: guest).state
    _ = server.send(connection) { $0.reply(to: call, SettleReply(state: state, guest: view)) }
  }
}
