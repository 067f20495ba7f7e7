import BatonCore
import BatonWire
import LinuxOS
import Systemd

/// The line that `systemctl status` shows.
extension RegistryDriver {
  /// How long changes are gathered, in nanoseconds.
  private static let statusDelay: UInt64 = 250_000_000

  /// Something happened: the service manager is told soon, and never while a guest is stopped.
  func scheduleStatus() {
    guard status.timer == nil, ServiceManager.isListening else { return }
    status.timer = loop.schedule(after: Self.statusDelay) { [unowned self] in
      status.timer = nil
      let text = statusText
      guard text != status.said else { return }
      guard !isAnyGuestPaused else {
        scheduleStatus()
        return
      }
      status.said = text
      ServiceManager.say(status: text)
    }
  }

  private func needsOperator(_ guest: GuestName) -> Bool {
    guests[guest].map { $0.alarm != nil || $0.isWaitTold } ?? false
  }

  private var statusText: String {
    let machines = registry.guests.filter { !isOver($0.record.phase) }
    let moving = machines.filter { isInHandoff($0) }
    let migrating = machines.filter { machine in
      machine.leavingMigration != nil || machine.record.phase == .arriving
    }
    var text = machines.count == 1 ? "1 guest" : "\(machines.count) guests"
    if !moving.isEmpty {
      let names = moving.prefix(3).map(\.record.name.text).joined(separator: ", ")
      text += ", \(moving.count) in handoff: \(names)\(moving.count > 3 ? " …" : "")"
    }
    if !migrating.isEmpty {
      let names = migrating.prefix(3).map(\.record.name.text).joined(separator: ", ")
      text += ", \(migrating.count) in migration: \(names)\(migrating.count > 3 ? " …" : "")"
    }
    let waiting = registry.guests.map(\.record.name).filter { needsOperator($0) }
    if !waiting.isEmpty {
      let names = waiting.prefix(3).map(\.text).joined(separator: ", ")
      text +=
        ", \(waiting.count) \(waiting.count == 1 ? "needs" : "need") an operator (batonctl list): \(names)\(waiting.count > 3 ? " …" : "")"
    }
    if let custodyStore {
      text += "; descriptor store \(custodyStore.capacity - custodyStore.free) of \(custodyStore.capacity)"
    }
    return text
  }
}
