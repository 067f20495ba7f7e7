import BatonWire
import LinuxOS
import SEVABI
import Synchronization
import Systemd

/// What the VMM says: sentences for people on stderr, a status for its unit, events as JSON lines where asked for.
final class VMMLog: Sendable {
  private let guest: String
  private let events: VMMEventLog
  private let memory = Mutex(Memory())

  private struct Memory {
    var lastSaid = ""
    /// Why this process does not do what it was started for.
    var problem: (sentence: String, code: Int32?)?
  }

  init(_ options: VMMOptions) throws(SystemError) {
    guest = options.guest
    events = VMMEventLog(
      try options.events.map { place throws(SystemError) in try GuestInstance.open(place) })
  }

  // MARK: For people

  /// One line for people.
  func say(_ level: ServiceLog.Level = .info, _ sentence: String) {
    Self.say(level, sentence, guest: guest)
  }

  /// The same before there is a log.
  static func say(_ level: ServiceLog.Level, _ sentence: String, guest: String) {
    // What other processes and hosts said is in it: one line, whatever they said.
    let line = PeerText.visible("baton-vmm: \(guest): \(sentence)", limit: 4096)
    StandardStream.error.write(JournalStream.lines(level, line))
  }

  /// Like ``say(_:_:)``, but not again as long as nothing else is said this way.
  func sayOnce(_ level: ServiceLog.Level, _ sentence: String) {
    let isNew = memory.withLock { memory in
      defer { memory.lastSaid = sentence }
      return memory.lastSaid != sentence
    }
    if isNew { say(level, sentence) }
  }

  /// Says why this process does not do what it was started for; the unit's last status is the same.
  func fail(_ sentence: String, code: Int32? = nil) {
    memory.withLock { $0.problem = (PeerText.visible(sentence, limit: 2048), code) }
    say(.error, sentence)
  }

  /// What ``fail(_:code:)`` said last.
  var problem: (sentence: String, code: Int32?)? { memory.withLock { $0.problem } }

  /// One line for `systemctl status`.
  func status(_ status: VMMStatus) { ServiceManager.say(status: PeerText.visible(status.text)) }

  // MARK: For programs

  /// - Parameter at: `CLOCK_MONOTONIC` of what happened, in nanoseconds; nil for now.
  func event(_ name: String, _ fields: [(String, VMMEventLog.Value)] = [], at moment: UInt64? = nil) {
    events.write(name, fields, at: moment)
  }

  /// The registry let this process go.
  func released(_ refusal: Refusal?) -> VMMOutcome {
    event("released", refusal.map { [("refusal", .text("\($0)"))] } ?? [])
    guard let refusal else { return .released }
    fail("released by the registry (\(refusal)): \(refusal.sentence)")
    return .refused(refusal)
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
        say(.warning, "the firmware does not tell the guest's state: \(error)")
      }
    }
    events.write("report", fields)
  }
}
