import BatonCore
import BatonWire

/// Records as machines take them and as people read them.
extension World {
  /// A later record as the machine takes it; nil for what concerns no handoff.
  static func report(_ message: VMMMessage) -> Report? {
    switch message {
    // Migrations are the matter of two registries; BatonCoreTests explores them.
    case .hello, .preflightReport, .departing, .departed, .stays, .arrived, .receipt, .migrationReport,
      .confirmed:
      nil
    case .offer(let handoff, let manifest): .offer(handoff, manifest)
    case .ready(let handoff): .ready(handoff)
    case .stage(let handoff, let stage): .staged(handoff, stage)
    case .received(let handoff): .received(handoff)
    case .refused(let handoff, let used): .refused(handoff, used: used, returned: nil)
    case .tookBack(let handoff): .tookBack(handoff)
    case .used(let handoff): .used(handoff)
    case .resumed(let handoff): .resumed(handoff)
    case .running(let epoch, let first): .running(epoch, firstInstruction: first)
    case .declined(let handoff, let refusal, _): .declined(handoff, refusal)
    case .ended(let epoch): .ended(epoch)
    case .described(let manifest): .described(manifest.way)
    case .park(let epoch): .park(epoch)
    }
  }

  static func describe(_ message: VMMMessage) -> String {
    switch message {
    case .hello(let hello): "hello, \(describe(hello.standing))"
    case .preflightReport: "preflight report"
    case .offer(let handoff, _): "offer \(handoff)"
    case .ready(let handoff): "ready \(handoff)"
    case .stage(let handoff, _): "stage \(handoff)"
    case .received(let handoff): "received \(handoff)"
    case .refused(let handoff, let used): "refused \(handoff), \(used ? "used" : "unused")"
    case .tookBack(let handoff): "took back \(handoff)"
    case .used(let handoff): "used \(handoff)"
    case .resumed(let handoff): "resumed \(handoff)"
    case .running(let epoch, _): "running, epoch \(epoch)"
    case .declined(let handoff, let refusal, _): "declined \(handoff), \(refusal)"
    case .ended(let epoch): "ended, epoch \(epoch)"
    case .described: "described"
    case .park(let epoch): "park, epoch \(epoch)"
    case .departing, .departed, .stays, .arrived, .receipt, .migrationReport, .confirmed: "migration"
    }
  }

  private static func describe(_ standing: Standing) -> String {
    switch standing {
    case .fresh: "fresh"
    case .attached(let prepared): "attached, prepared \(prepared)"
    case .claiming(let handoff): "claiming \(handoff)"
    case .received(let handoff): "received \(handoff)"
    case .refused(let handoff, let returned): "refused \(handoff), \(returned == nil ? "used" : "returned")"
    case .staged(let handoff, _): "staged \(handoff)"
    case .tookBack(let handoff): "took back \(handoff)"
    case .running(let epoch): "running, epoch \(epoch)"
    case .arriving, .departing: "migration"
    }
  }

  static func describe(_ message: RegistryMessage) -> String {
    switch message {
    case .welcome: "welcome"
    case .prepare(let handoff): "prepare \(handoff)"
    case .offered(let handoff, _, let isGuestStopped):
      "offered \(handoff)\(isGuestStopped ? ", stopped" : "")"
    case .freeze(let handoff): "freeze \(handoff)"
    case .claim(let handoff, _): "claim \(handoff)"
    case .takeBack(let handoff): "take back \(handoff)"
    case .run(let epoch): "run, epoch \(epoch)"
    case .release(let refusal): "release (\(refusal.map { "\($0)" } ?? "handed over"))"
    case .refusal(let refusal, _): "refusal \(refusal)"
    case .preflight: "preflight"
    case .migrate, .depart, .cancelMigration, .arrivalJournalled: "migration"
    }
  }
}
