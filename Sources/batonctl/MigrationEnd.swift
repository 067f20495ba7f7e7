import RegistryInterface

/// How a migration ended.
enum MigrationEnd: String, Encodable, CaseIterable {
  /// The guest runs on the other host.
  case moved
  /// It runs where it was.
  case stayed
  /// It is paused, or a person has to ask the other side.
  case waiting
  /// It cannot be kept.
  case lost
  /// It ended in the course of it.
  case ended
  /// The registry does not tell.
  case unknown
  /// It was planned, and that was all that was asked for.
  case planned

  /// - Parameters:
  ///   - migration: The registry's last word about it.
  ///   - guest: The guest then.
  init(_ migration: Migration, _ guest: Guest) {
    switch migration.outcome {
    case .migrated: self = .moved
    case .planned: self = .planned
    case .inProgress: self = guest.alarm == nil ? .unknown : .waiting
    case .stayed, .failed:
      switch guest.state {
      case .running, .preparing: self = guest.alarm == nil ? .stayed : .waiting
      case .frozen, .staged, .claimed, .takingBack, .waiting, .departing, .departed, .arriving:
        self = .waiting
      case .lost: self = .lost
      case .ended: self = .ended
      }
    }
  }

  /// - Parameter failure: Why it did not come to an end that the registry told.
  init(_ failure: CommandFailure) {
    switch failure.status {
    case .success: self = .moved
    case .failure, .guestAtSource, .preflightFailed, .notAllowed, .handoffInProgress, .nothingToAbort, .usage:
      self = .stayed
    case .guestLost: self = .lost
    case .guestWaits: self = .waiting
    case .guestEnded: self = .ended
    case .registryUnreachable, .unknownGuest, .outcomeUnknown: self = .unknown
    }
  }

  /// What it means to a script.
  var status: CommandStatus {
    switch self {
    case .moved, .planned: .success
    case .stayed: .guestAtSource
    case .waiting: .guestWaits
    case .lost: .guestLost
    case .ended: .guestEnded
    case .unknown: .outcomeUnknown
    }
  }

  /// Why the guest is not on the other host; nil when it is.
  func failure(_ migration: Migration, _ guest: Guest) -> CommandFailure? {
    let cause =
      migration.refusal.map { "\($0.name): \(Self.cause(of: $0)) (\($0.by.rawValue))" }
      ?? guest.endSentence ?? guest.alarm?.sentence ?? "no reason was given"
    switch self {
    case .moved, .planned: return nil
    case .stayed:
      return CommandFailure(
        "migration to \(migration.peer) did not come about", cause: cause,
        guestState: MigrationLimits.runsHere, remedy: remedy(migration), status: status)
    case .waiting:
      let command = guest.alarm?.command ?? "batonctl settle \(guest.name)"
      return CommandFailure(
        "migration to \(migration.peer) waits for a person", cause: cause, guestState: guest.state.clause,
        remedy: "run: \(command)", status: status)
    case .lost:
      return CommandFailure(
        "guest lost", cause: cause, guestState: guest.state.clause, remedy: "start it anew from its disk",
        status: status)
    case .ended:
      return CommandFailure(
        "guest has ended", cause: cause, guestState: guest.state.clause, remedy: "start it anew",
        status: status)
    case .unknown:
      return CommandFailure(
        "migration is not followed any more", cause: cause,
        guestState: "the migration may still be under way", remedy: "see batonctl show \(guest.name)",
        status: status)
    }
  }

  /// The clause of a refusal that says why; what may follow it is known here from the guest itself.
  static func cause(of refusal: Refusal) -> String { String(refusal.sentence.prefix { $0 != ";" }) }

  /// What to do about a migration that did not come about.
  private func remedy(_ migration: Migration) -> String {
    Self.remedy(migration.refusal?.name, host: migration.peer)
  }

  /// What to do about a refusal, by its name.
  static func remedy(_ refusal: String?, host: String) -> String {
    switch refusal {
    case "migrationCancelled": "start it again when it is wanted"
    case "targetNotWaiting": "start baton-vmm --incoming for this guest on \(host)"
    case "remoteUnreachable", "linkLost":
      "check the connection and baton-remote on both hosts, then try again"
    case "wrongPeerName": "check the name in the certificate and the names that baton-remote allows"
    case "certificateInvalid": "check the certificate that is named"
    case "policyForbids": "its policy is its owner's, who has to launch it anew with another one to move it"
    case "encryptedStateNotSendable": "it has to stay: its registers can be sent by no kernel of today"
    case "streamDamaged": "look what changes bytes between the hosts, then try again"
    case "willNotConverge": "let the guest write less, or allow a longer pause with --max-pause"
    case "guestExists": "settle or end the guest of this name on \(host)"
    case "agreementMissing": "see Docs/migration.md, the three parties that have to agree"
    case "deadlinePassed": "raise --max-time, or look what was slow"
    case "noRoom": "make room on \(host)"
    case "streamVersion": "use programs that are at most one version apart on both hosts"
    case _: "see the journals of baton-vmm on both hosts"
    }
  }
}
