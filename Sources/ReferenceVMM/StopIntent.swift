import Systemd

/// What a signal to stop means for the guest.
enum StopIntent: Hashable, Sendable {
  /// The unit is restarted: the guest waits in custody for the next VMM.
  case park
  /// The guest ends.
  case end(Reason)

  enum Reason: Hashable, Sendable {
    /// Nobody but this process is asked what a signal means.
    case signal
    /// The unit has another job than a restart, or a person sent the signal.
    case job(String)
    /// The service manager does not say.
    case unanswered(String)
    /// It was to be parked, and that did not come about in time.
    case notParked(why: String)
  }

  /// What a service manager said about the job of a unit.
  enum Answer: Hashable, Sendable {
    case job(UnitJob.Kind?)
    /// No job is left: the manager ends the unit because its start took too long. A VMM that stood still between
    /// the claim and the verdict hears of it as the owner, and nobody wanted the guest to end.
    case startTookTooLong
    case unknown(String)
  }

  /// - Parameter answer: Nil when this process is no unit's main process, or the signal is not the manager's.
  static func decide(_ answer: Answer?) -> StopIntent {
    switch answer {
    case nil: .end(.signal)
    case .unknown(let why): .end(.unanswered(why))
    case .job(nil): .end(.job("no job is queued"))
    case .job(.restart), .job(.tryRestart), .startTookTooLong: .park
    case .job(.stop): .end(.job("the unit is being stopped"))
    case .job(.start), .job(.reload), .job(.verifyActive): .end(.job("the unit is not being restarted"))
    case .job(.other(let name)): .end(.job("the unit has a job '\(name)'"))
    }
  }
}

extension StopIntent.Reason {
  /// Why the guest ends, as the journal has it, and how loud.
  var sentence: (level: ServiceLog.Level, text: String) {
    switch self {
    case .signal: (.notice, "a signal asks for the end: the guest ends here")
    case .job(let what):
      (
        .notice,
        "SIGTERM, and \(what): the guest ends here; to keep it, restart the unit or start the other slot"
      )
    case .unanswered(let why):
      (
        .warning,
        "SIGTERM, and nobody says whether the unit is restarted or stopped (\(why)): the guest ends here"
      )
    case .notParked(let why):
      (
        .error,
        "the unit is restarted and the guest could not be taken into custody (\(why)): the guest ENDS here, "
          + "the next VMM starts a new one"
      )
    }
  }
}
