import Baton
import BatonWire
import Glibc
import LinuxOS
import RemoteMigration

// What comes to the VMM: from the registry, and from the other host of a migration.
extension Handle {
  /// The next event, without waiting beyond a reconnect's welcome; goes on with a migration for a moment.
  func next() throws -> Participant.Event? {
    while told.isEmpty, let turn = try participant.process() {
      switch turn {
      case .tell(let event):
        try take(event)
        told.append(event)
      case .migration(let said): try take(said)
      }
    }
    if told.isEmpty {
      try leaving?.step()
      try coming?.step()
    }
    return told.isEmpty ? nil : told.removeFirst()
  }

  /// Waits for an event; nil when the time is over.
  ///
  /// - Parameter milliseconds: How long at most; nil for ever.
  func wait(milliseconds: UInt64?) throws -> Participant.Event? {
    let deadline = milliseconds.map { MonotonicClock.now() + $0 * 1_000_000 }
    while true {
      if let event = try next() { return event }
      switch participant.phase {
      case .permitted, .frozen, .over: throw Participant.Failure.outOfTurn(participant.phase)
      case .new, .attached, .offered, .prepared, .claiming, .received, .running, .staged, .takingBack,
        .tookBack, .returned, .leaving, .departing, .departed, .awaiting, .arriving, .arrived:
        break
      }
      let now = MonotonicClock.now()
      if let deadline, deadline <= now { return nil }
      var interests = interests
      _ = try Poller.wait(
        &interests, timeoutNanoseconds: min(waitNanoseconds, deadline.map { $0 - now } ?? .max),
        awakeUntil: max(leaving?.awakeUntil ?? 0, coming?.awakeUntil ?? 0))
    }
  }

  /// What to poll.
  var interests: [Poller.Interest] {
    var interests: [Poller.Interest] = []
    // A registry has nothing more to say about a guest that was given up: it is only told.
    if case .departed = participant.phase {
    } else if participant.descriptor >= 0 {
      interests.append(Poller.Interest(participant.descriptor))
    }
    return interests + (leaving?.interests ?? []) + (coming?.interests ?? [])
  }

  /// For how long at most, in nanoseconds.
  var waitNanoseconds: UInt64 {
    if !told.isEmpty { return 0 }
    // Without a connection it is tried again soon, and an alarm must not be missed.
    return min(
      participant.wantsConnection ? Self.reconnectNanoseconds : 1_000_000_000,
      leaving?.waitNanoseconds ?? .max, coming?.waitNanoseconds ?? .max)
  }

  private static let reconnectNanoseconds: UInt64 = 20_000_000

  /// What an event means for a migration that is under way.
  private func take(_ event: Participant.Event) throws {
    switch event {
    case .run: leaving?.stayed()
    // Only a registry that lost its journal orders that while a migration is under way.
    case .prepare, .freeze: try giveUpMigration("the registry ordered a handoff")
    case .released:
      leaving?.close()
      coming?.close()
    case .start, .offered, .claim, .attemptOver, .preflight, .takeBack, .alarm, .migrate,
      .stop, .migrationOver, .arriving, .arrived:
      break
    }
  }

  private func take(_ said: Participant.MigrationTurn) throws {
    switch said {
    case .ordered(let order):
      if let leaving {
        try leaving.ordered(order)
      } else {
        try participant.stays(order.id, .sourceDeclined, "this VMM cannot be migrated to another host")
      }
    case .cancelled(let id):
      let failure = MigrationFailure(.migrationCancelled, "an operator ended the migration")
      if let leaving, leaving.id == id {
        try leaving.giveUp(failure)
      } else {
        try participant.stays(id, failure.refusal, failure.text)
      }
    case .mayDepart: try leaving?.finish()
    case .departed(let receipt): try leaving?.departed(receipt)
    case .arrivalEnded(let refusal):
      try coming?.fail(MigrationFailure(refusal, "the target's registry ended the arrival"))
    case .wrongReceipt: coming?.wrongReceipt()
    }
  }

  /// The guest runs, by the verdict that came just now.
  func running(_ manifest: Manifest, firstInstruction: UInt64) throws {
    guard case .permitted(let epoch, _) = participant.phase else {
      return try participant.running(manifest, firstInstruction: firstInstruction)
    }
    defer {
      // Also when the registry could not be told.
      if case .running = participant.phase {
        coming?.running(epoch: epoch, firstInstruction: firstInstruction)
        coming = nil
      }
    }
    try participant.running(manifest, firstInstruction: firstInstruction)
  }

  /// The guest stays, because the VMM has something else to do with it.
  func giveUpMigration(_ reason: String) throws {
    try leaving?.giveUp(MigrationFailure(.migrationCancelled, reason))
  }
}
