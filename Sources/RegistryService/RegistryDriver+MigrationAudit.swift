import BatonCore
import BatonWire
import RegistryInterface
import Systemd

/// What the journal is told about migrations. Never a receipt.
extension RegistryDriver {
  func auditMigration(_ note: Note, _ own: BatonWire.Refusal?, _ context: GuestContext) {
    let guest = context.name
    let record = registry[guest]?.record
    let peer = record.flatMap { $0.migration.map { PeerText.visible($0.peer, limit: 255) } } ?? "another host"
    let owner = record?.owner
    func tell(
      _ level: ServiceLog.Level, _ kind: RegistryMessageID, _ id: MigrationID, _ text: String,
      _ refusal: BatonWire.Refusal? = nil
    ) {
      write(
        level, kind, text,
        fields(context, process: owner, refusal: refusal) + [("BATON_MIGRATION", id.hexadecimal)])
    }
    switch note {
    case .migrationStarted(let id):
      let isPlan = record?.migration?.isPlanOnly ?? context.migration?.planOnly ?? false
      tell(
        .info, .migrationStarted, id,
        "\(isPlan ? "a plan of " : "")migration \(id) of guest \(guest) to \(peer) begins")
    case .departing(let id):
      tell(
        .info, .guestDeparting, id,
        "migration \(id): \(peer) has all of guest \(guest), and its VMM may give it up")
    case .departed(let id):
      tell(
        .notice, .guestDeparted, id,
        "migration \(id): guest \(guest) was given to \(peer) and does not run here any more")
    case .migrationStayed(let id, let refusal):
      if context.isPlanMade {
        tell(.info, .migrationStayed, id, "migration \(id) of guest \(guest) is planned; the guest stays")
      } else {
        tell(
          .warning, .migrationStayed, id,
          "migration \(id): guest \(guest) stays: \((own ?? refusal).sentence)", own ?? refusal)
      }
    case .departureConfirmed(let id):
      tell(.notice, .departureConfirmed, id, "migration \(id): guest \(guest) runs on \(peer)")
    case .arriving(let id, let process):
      tell(
        .info, .guestArriving, id,
        "migration \(id): \(describe(process, context)) receives guest \(guest) from \(peer)")
    case .arrived(let id):
      tell(
        .info, .guestArrived, id,
        "migration \(id): all of guest \(guest) is here, and the receipt of \(peer) is missing")
    case .arrivalCommitted(let id, let owner, let epoch):
      tell(
        .notice, .arrivalCommitted, id,
        "migration \(id): \(describe(owner, context)) owns guest \(guest) from \(peer) in epoch \(epoch)")
    case .arrivalFailed(let id, let refusal):
      let why = refusal.map { ": \($0.sentence)" } ?? ""
      // Called off, as by every plan, it is nobody's failure.
      tell(
        refusal == .migrationCancelled ? .info : .warning, .arrivalFailed, id,
        "migration \(id): nothing came of the arrival of guest \(guest)\(why)", refusal)
    case .ownerRegistered, .attached, .attemptStarted, .offered, .ready, .freezeOrdered, .staged, .claimed,
      .committed, .runOrdered, .running, .rollingBack, .takenBack, .aborted, .lost, .ended, .died, .fenced,
      .alarm:
      break
    }
  }
}

extension MigrationRecord {
  /// Whether nothing is to be moved.
  var isPlanOnly: Bool {
    if case .leaving(_, let request, _) = course { return request.isPlanOnly }
    return false
  }
}
