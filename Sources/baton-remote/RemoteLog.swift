import RemoteService
import Synchronization
import Systemd

/// Writes what the service tells.
final class RemoteLog: Sendable {
  private let log: Mutex<ServiceLog>

  init(quiet: Bool) {
    log = Mutex(ServiceLog(program: "baton-remote", threshold: quiet ? .warning : .info))
  }

  /// It cannot start.
  func failed(_ reason: String) { say(.error, reason) }

  func write(_ event: RemoteEvent) {
    switch event {
    case .waiting(let guest, let uid):
      say(.info, "a VMM of user \(uid) waits for guest \(guest)", [("GUEST", guest)])
    case .linked(let guest, let peer, let isIncoming):
      say(
        .notice, "guest \(guest) is \(isIncoming ? "coming from" : "going to") \(peer)",
        [("GUEST", guest), ("PEER", peer)])
    case .ended(let guest, let peer, let sent, let received, let fault):
      say(
        fault == nil ? .notice : .warning,
        "the connection of guest \(guest) with \(peer) ended: \(fault.map { "\($0)" } ?? "properly")",
        [("GUEST", guest), ("PEER", peer), ("SENT", "\(sent)"), ("RECEIVED", "\(received)")]
          + (fault.map { [("FAULT", $0.name)] } ?? []))
    case .refused(let fault, let who):
      say(.warning, "\(fault)", [("FAULT", fault.name), ("REFUSAL", fault.refusal), ("PEER", who)])
    case .answered(let verb, let peer, let answer):
      say(.notice, "\(verb) asked by \(peer): \(answer)", [("PEER", peer)])
    case .reloaded(let names, let end):
      say(.notice, "certificates were read again: \(names.joined(separator: ", ")), until @\(end)")
    case .reloadFailed(let fault):
      say(
        .error, "certificates were not read again, those from before stay: \(fault)", [("FAULT", fault.name)])
    }
  }

  private func say(_ level: ServiceLog.Level, _ text: String, _ fields: [(String, String)] = []) {
    log.withLock { $0.write(level, text, fields: fields) }
  }
}
