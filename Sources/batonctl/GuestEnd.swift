import RegistryInterface

/// How a guest came out of a run of upgrades. What the registry says after the run counts; what was seen on the
/// way only tells why.
enum GuestEnd: String, Encodable, CaseIterable {
  /// It runs at a new owner.
  case upgraded
  /// It runs at its old owner.
  case stayed
  /// It is paused, or waits for a person.
  case waiting
  /// It cannot be kept.
  case lost
  /// It ended in the course of the run.
  case ended
  /// The registry does not tell.
  case unknown
  /// Too many others had failed before.
  case notTried

  /// - Parameters:
  ///   - attempt: What was seen.
  ///   - after: The guest after the run; nil when the registry does not know or tell it.
  init(_ attempt: UpgradeEnd, after: Guest?) {
    let wasTried =
      switch attempt.how {
      case .ended, .failed: true
      case .notTried: false
      }
    guard let after else {
      self = wasTried ? Self.unseen(attempt) : .notTried
      return
    }
    switch after.state {
    case .lost: self = .lost
    case .ended: self = .ended
    case .departed: self = after.alarm == nil ? .ended : .waiting
    case .waiting: self = .waiting
    // An upgrade that is refused because the guest is on its way has changed nothing.
    case .departing, .arriving:
      self =
        after.alarm == nil && attempt.handoff == nil && attempt.failure?.status == .handoffInProgress
        ? .stayed : .waiting
    case .running, .preparing, .frozen, .staged, .claimed, .takingBack:
      if !wasTried {
        self = .notTried
      } else if after.alarm != nil || !Self.runs(after) {
        self = .waiting
      } else {
        self = Self.running(attempt, after)
      }
    }
  }

  /// A guest that the registry has forgotten had come to its end; of one that never was nothing is known.
  private static func unseen(_ attempt: UpgradeEnd) -> GuestEnd {
    switch attempt.handoff?.outcome {
    case .lost: return .lost
    case .ended: return .ended
    case .committed, .inProgress, .takenBack, .aborted, nil: break
    }
    switch attempt.failure?.status {
    case .guestLost: return .lost
    case .guestEnded: return .ended
    case .success, .failure, .guestAtSource, .guestWaits, .registryUnreachable, .notAllowed, .unknownGuest,
      .preflightFailed, .handoffInProgress, .outcomeUnknown, .nothingToAbort, .usage, nil:
      return .unknown
    }
  }

  private static func runs(_ guest: Guest) -> Bool {
    switch guest.state {
    case .running, .preparing: guest.owner != nil
    case .frozen, .staged, .claimed, .takingBack, .waiting, .departing, .departed, .arriving, .lost, .ended:
      false
    }
  }

  /// Taking back raises the epoch too, so that the owner tells.
  private static func running(_ attempt: UpgradeEnd, _ after: Guest) -> GuestEnd {
    let isSeen = attempt.handoff?.outcome == .committed
    guard let before = attempt.before else { return isSeen ? .upgraded : .stayed }
    guard after.epoch != before.epoch, after.owner?.processId != before.owner?.processId else {
      return .stayed
    }
    let isRemembered = after.lastHandoff != before.lastHandoff && after.lastOutcome == .committed
    let wasSeenThere = attempt.lastOwner?.processId == after.owner?.processId
    // Another owner without a handoff: it ended, and another guest has its name now. Not so if the registry was
    // away, and has forgotten the handoff.
    let hasCommitted = isSeen || isRemembered || wasSeenThere || attempt.registryWasAway
    return hasCommitted ? .upgraded : .ended
  }

  /// For people: one clause of the report.
  var words: String {
    switch self {
    case .upgraded: "on its new owner"
    case .stayed: "stayed with its old owner"
    case .waiting: "paused, waits"
    case .lost: "lost"
    case .ended: "ended"
    case .unknown: "not known"
    case .notTried: "not tried"
    }
  }

  /// For people: with a number before it.
  var summary: String {
    switch self {
    case .upgraded: "upgraded"
    case .stayed: "stayed with the old owner"
    case .waiting: "waiting for a person"
    case .lost: "lost"
    case .ended: "ended"
    case .unknown: "not known"
    case .notTried: "not tried"
    }
  }

  var color: PictureStyle.Color {
    switch self {
    case .upgraded: .good
    case .stayed, .ended, .notTried: .notable
    case .waiting, .lost, .unknown: .bad
    }
  }

  /// What it means to a script.
  ///
  /// - Parameter failure: What was seen; tells of a guest that was left alone why nothing was tried.
  func status(_ failure: CommandFailure?) -> CommandStatus {
    switch self {
    case .upgraded, .notTried: .success
    case .waiting: .guestWaits
    case .lost: .guestLost
    case .ended: .guestEnded
    case .unknown: Self.untried(failure) ?? .outcomeUnknown
    case .stayed: Self.untried(failure) ?? .guestAtSource
    }
  }

  /// The status of a failure before anything was tried.
  private static func untried(_ failure: CommandFailure?) -> CommandStatus? {
    switch failure?.status {
    case .failure, .registryUnreachable, .notAllowed, .unknownGuest, .preflightFailed, .handoffInProgress:
      failure?.status
    case .success, .guestAtSource, .guestLost, .guestWaits, .outcomeUnknown, .guestEnded, .nothingToAbort,
      .usage, nil:
      nil
    }
  }
}
