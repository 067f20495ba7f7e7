import BatonWire
import LinuxOS

/// What the VMM says: sentences for people on stderr, events as JSON lines where asked for.
final class VMMLog {
  private let guest: String
  private let events: VMMEventLog

  init(_ options: VMMOptions) throws(SystemError) {
    guest = options.guest
    events = VMMEventLog(
      try options.events.map { place throws(SystemError) in try GuestInstance.open(place) })
  }

  /// One line for people.
  func say(_ sentence: String) { StandardStream.error.write("baton-vmm: \(guest): \(sentence)\n") }

  private var lastSaid = ""

  /// Like ``say(_:)``, but not again as long as nothing else is said this way.
  func sayOnce(_ sentence: String) {
    guard sentence != lastSaid else { return }
    lastSaid = sentence
    say(sentence)
  }

  /// The registry let this process go.
  func released(_ refusal: Refusal?) -> VMMOutcome {
    event("released", refusal.map { [("refusal", .text("\($0)"))] } ?? [])
    guard let refusal else { return .released }
    say("released: \(refusal)")
    return .refused
  }

  func event(_ name: String, _ fields: [(String, VMMEventLog.Value)] = []) {
    events.write(name, fields)
  }

  /// The guest's own verdict.
  func report(_ instance: GuestInstance) {
    guard let report = try? instance.machine.report() else { return }
    events.write(
      "report",
      [
        ("report", VMMEventLog.Value(report)),
        ("remarks", .list(instance.machine.remarks)),
        ("consoleLines", .number(instance.devices.console.lineCount)),
      ])
  }
}

/// How the life of a VMM process ended.
public enum VMMOutcome: Int32, Sendable {
  /// The guest went to its successor, or ended by request.
  case released = 0
  case ended = 100
  /// Something failed; stderr says what and where the guest is.
  case failed = 1
  /// The registry refused; nothing of the guest was touched.
  case refused = 3

  public var exitStatus: Int32 { self == .ended ? 0 : rawValue }
}
