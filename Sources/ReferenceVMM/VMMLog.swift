public import BatonWire
import LinuxOS
import SEVABI

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
    return .refused(refusal)
  }

  func event(_ name: String, _ fields: [(String, VMMEventLog.Value)] = []) {
    events.write(name, fields)
  }

  /// The guest's own verdict.
  func report(_ instance: GuestInstance) {
    guard let report = try? instance.machine.report() else { return }
    var fields: [(String, VMMEventLog.Value)] = [
      ("report", VMMEventLog.Value(report)),
      ("remarks", .list(instance.machine.remarks)),
      ("consoleLines", .number(instance.devices.console.lineCount)),
    ]
    if let sev = instance.sev {
      do {
        fields.append(("guestState", .number(UInt64(try sev.guestStatus().state))))
      } catch {
        say("the firmware does not tell the guest's state: \(error)")
      }
    }
    events.write("report", fields)
  }
}

/// How the life of a VMM process ended.
public enum VMMOutcome: Hashable, Sendable {
  /// The guest went to its successor.
  case released
  /// The guest ended by request.
  case ended
  /// Something failed; stderr says what and where the guest is.
  case failed
  /// The registry, or this process itself, said no.
  case refused(Refusal)

  /// 0 when all went as it should, else 1 or the refusal's own status.
  public var exitStatus: Int32 {
    switch self {
    case .released, .ended: 0
    case .failed: 1
    case .refused(let refusal): refusal.exitCode
    }
  }
}
