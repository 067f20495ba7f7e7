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
  func failed(_ reason: String) { say(.error, reason, .cannotStart) }

  /// It serves from now on.
  func ready(_ status: String) { say(.notice, "serves: \(status)", .ready) }

  /// It ends.
  func stopping() { say(.notice, "stops; guests on their way stay where they are", .stopping) }

  func write(_ event: RemoteEvent) {
    let id = event.messageID
    switch event {
    case .waiting(let guest, let uid):
      say(.info, "a VMM of user \(uid) waits for guest \(guest)", id, [("BATON_VM", guest)])
    case .linked(let guest, let peer, let isIncoming):
      say(
        .notice, "guest \(guest) is \(isIncoming ? "coming from" : "going to") \(peer)", id,
        [("BATON_VM", guest), ("BATON_PEER", peer)])
    case .ended(let guest, let peer, let sent, let received, let fault):
      say(
        fault == nil ? .notice : .warning,
        "the connection of guest \(guest) with \(peer) ended: \(fault.map { "\($0)" } ?? "properly")", id,
        [
          ("BATON_VM", guest), ("BATON_PEER", peer), ("BATON_SENT_BYTES", "\(sent)"),
          ("BATON_RECEIVED_BYTES", "\(received)"),
        ] + (fault.map(fields) ?? []))
    case .refused(let fault, let who):
      say(.warning, "\(fault)", id, [("BATON_PEER", who)] + fields(fault))
    case .answered(let verb, let peer, let answer):
      say(.notice, "\(verb) asked by \(peer): \(answer)", id, [("BATON_PEER", peer)])
    case .reloaded(let names, let end):
      say(.notice, "certificates were read again: \(names.joined(separator: ", ")), until @\(end)", id)
    case .reloadFailed(let fault):
      say(
        .error, "certificates were not read again, those from before stay: \(fault)", id, fields(fault))
    }
  }

  private func fields(_ fault: RemoteFault) -> [(String, String)] {
    [("BATON_FAULT", fault.name), ("BATON_REFUSAL", fault.refusal)]
  }

  private func say(
    _ level: ServiceLog.Level, _ text: String, _ id: RemoteMessageID, _ fields: [(String, String)] = []
  ) {
    log.withLock { $0.write(level, text, messageID: id.rawValue, fields: fields) }
  }
}
