public import Varlink

/// Why a command did not do what was asked, and what that means for the guest.
public struct CommandFailure: Error, Hashable, Sendable {
  /// What was attempted and failed: a few words.
  public var whatFailed: String
  /// Why: one clause.
  public var cause: String
  /// Where the guest stands now, if that matters and is known.
  public var guestState: String?
  /// What to do about it.
  public var remedy: String?
  /// The exit status.
  public var status: CommandStatus
  /// Whether registry, source or successor said no, so that asking again comes to the same.
  public var isRefusal = false

  /// A failure.
  public init(
    _ whatFailed: String, cause: String, guestState: String? = nil, remedy: String? = nil,
    status: CommandStatus
  ) {
    self.whatFailed = whatFailed
    self.cause = cause
    self.guestState = guestState
    self.remedy = remedy
    self.status = status
  }

  /// The one line for standard error, without a line end.
  public func line(verb: String, guest: String? = nil) -> String {
    let subject = guest.map { "\(verb) \($0)" } ?? verb
    let clauses = ["\(whatFailed): \(cause)", guestState, remedy].compactMap(\.self)
    return "batonctl: \(PlainText.clean("\(subject): \(clauses.joined(separator: "; "))"))"
  }
}

extension CommandFailure {
  /// What an error reply means.
  public init(errorName name: String, parameters: JSONParameters) {
    do throws(ServiceError) {
      if let error = try RegistryError(name: name, parameters: parameters) {
        self.init(error)
        return
      }
    } catch {
      self.init(
        "registry refused", cause: "error \(name) with parameters that do not fit it",
        remedy: "compare the versions of batonctl and batond", status: .failure)
      return
    }
    if let error = ServiceError(name: name, parameters: parameters) {
      self.init(error)
    } else {
      self.init(
        "registry refused", cause: "unknown error \(name)",
        remedy: "compare the versions of batonctl and batond", status: .failure)
    }
  }

  /// What an error of the service itself means.
  public init(_ error: ServiceError) {
    let versions = "compare the versions of batonctl and batond"
    switch error {
    case .interfaceNotFound(let interface):
      self.init(
        "call failed", cause: "the service has no interface \(interface)", remedy: "check --socket",
        status: .failure)
    case .methodNotFound(let method), .methodNotImplemented(let method):
      self.init(
        "call failed", cause: "the registry has no method \(method)", remedy: versions, status: .failure)
    case .invalidParameter(let parameter):
      self.init(
        "registry refused", cause: "parameter '\(parameter)' is not acceptable",
        remedy: "check its value, or \(versions)", status: .failure)
    case .permissionDenied:
      self.init(
        "registry refused", cause: "permission denied",
        remedy: "run it as root or as a member of the admin group", status: .notAllowed)
    case .expectedMore, .expectedUpgrade:
      self.init(
        "call failed", cause: "the registry expects another kind of call", remedy: versions, status: .failure)
    }
  }

  /// What an error of the registry means.
  public init(_ error: RegistryError) {
    switch error {
    case .unknownGuest(let value):
      self.init(
        "no such guest", cause: "the registry knows no guest '\(value.guest)'", remedy: "see batonctl list",
        status: .unknownGuest)
    case .unknownHandoff(let value):
      self.init(
        "no such handoff", cause: "handoff \(value.handoff) is not one of \(value.guest), or is forgotten",
        remedy: "see batonctl show \(value.guest)", status: .unknownGuest)
    case .handoffInProgress(let value):
      let phase = value.phase.map { " (\($0.rawValue))" } ?? ""
      self.init(
        "nothing was tried", cause: "handoff \(value.handoff) is under way\(phase)",
        remedy: "follow it with batonctl watch \(value.guest), or end it with batonctl abort \(value.guest)",
        status: .handoffInProgress)
    case .noHandoffInProgress(let value):
      self.init(
        "nothing to abort", cause: "no handoff of \(value.guest) is under way", status: .nothingToAbort)
    case .alreadyCommitted(let value):
      self.init(
        "too late to abort", cause: "handoff \(value.handoff) is committed",
        guestState: "the guest runs at the successor",
        remedy: "upgrade \(value.guest) again to go back to the older binary", status: .nothingToAbort)
    case .notAllowed(let value):
      self.init(
        "not allowed", cause: "user \(value.userId) may not call \(value.method)",
        remedy: "it needs \(value.needs)", status: .notAllowed)
    case .preflightFailed(let value):
      let causes = value.checks.map { "\($0.name): \($0.detail)" }.joined(separator: ", ")
      self.init(
        "preflight failed", cause: causes, guestState: "the guest still runs at the source",
        remedy: "see batonctl preflight \(value.guest)", status: .preflightFailed)
      isRefusal = true
    case .refusedBySuccessor(let value):
      self.init(
        "refused by the \(value.refusal.by.rawValue)",
        cause: "\(value.refusal.name): \(Self.cause(of: value.refusal))",
        guestState: GuestState.waiting.clause, remedy: "see batonctl show \(value.guest)", status: .guestWaits
      )
      isRefusal = true
    case .refusedBySource(let value), .refusedByRegistry(let value):
      let hadBegun = value.handoff != nil
      self.init(
        "refused by the \(value.refusal.by.rawValue)",
        cause: "\(value.refusal.name): \(Self.cause(of: value.refusal))",
        guestState: hadBegun ? "the guest still runs at the source" : nil,
        remedy: "see batonctl show \(value.guest)", status: hadBegun ? .guestAtSource : .failure)
      isRefusal = true
    case .guestLost(let value):
      self.init(
        "guest lost", cause: value.sentence, guestState: GuestState.lost.clause,
        remedy: "start it anew from its disk", status: .guestLost)
    case .guestEnded(let value):
      self.init(
        "nothing was tried", cause: "guest \(value.guest) has ended", remedy: "start it anew",
        status: .guestEnded)
    case .deadlinePassed(let value):
      let limit = PlainText.duration(microseconds: value.limitMicroseconds, unicode: false)
      self.init(
        "\(value.phase.rawValue) did not end in time", cause: "the limit of \(limit) passed",
        guestState: value.state.clause, remedy: "see batonctl show \(value.guest)",
        status: CommandStatus(state: value.state))
    case .migrationInProgress(let value):
      let phase = value.phase.map { " (\($0.rawValue))" } ?? ""
      self.init(
        "nothing was tried", cause: "migration \(value.migration) is under way\(phase)",
        remedy: "follow it with batonctl watch \(value.guest), or end it with batonctl abort \(value.guest)",
        status: .handoffInProgress)
    case .noMigration(let value):
      let which = value.migration.map { "migration \($0)" } ?? "a migration"
      self.init(
        "nothing to settle", cause: "\(value.guest) has nothing open of \(which)",
        remedy: "see batonctl show \(value.guest)", status: .nothingToAbort)
    case .guestDeparted(let value):
      self.init(
        "guest has departed", cause: value.sentence,
        guestState: "it went to \(value.host) in migration \(value.migration)",
        remedy: value.confirmed
          ? "ask there; a guest of this name may come back from there, or be started anew here"
          : "run: batonctl settle \(value.guest)",
        status: .nothingToAbort)
    case .migrationRefused(let value):
      self.init(
        "migration refused", cause: "\(value.refusal.name): \(Self.cause(of: value.refusal))",
        remedy: "see batonctl show \(value.guest)", status: .failure)
    case .quotaExceeded(let value):
      self.init(
        "quota exceeded", cause: "\(value.limit) \(value.quota) are allowed",
        remedy: "raise the quota in batond's configuration", status: .failure)
    case .stopping:
      self.init(
        "registry is stopping", cause: "it takes no new work", remedy: "ask again when it is back",
        status: .failure)
    }
  }

  /// Why a handoff that ended did not commit, or `nil` if it did.
  public init?(_ handoff: Handoff, _ guest: Guest) {
    guard handoff.outcome != .committed else { return nil }
    let cause =
      handoff.refusal.map { "\($0.name): \(Self.cause(of: $0)) (\($0.by.rawValue))" } ?? "no reason was given"
    let status = CommandStatus(handoff, guest)
    let remedy = guest.alarm.map { "run: \($0.command)" } ?? "see batonctl show \(handoff.guest)"
    let state: GuestState =
      switch handoff.outcome {
      case .lost: .lost
      case .ended: .ended
      case .committed, .inProgress, .takenBack, .aborted: guest.state
      }
    let clause = status == .guestAtSource ? "the guest still runs at the source" : state.clause
    self.init(
      "handoff \(handoff.number) \(handoff.outcome.words)", cause: cause, guestState: clause,
      remedy: remedy, status: status)
  }

  /// The clause of a refusal that says why. What may follow it, where the guest stands and what to do, is known
  /// here from the guest itself, and better.
  private static func cause(of refusal: Refusal) -> String {
    String(refusal.sentence.prefix { $0 != ";" })
  }
}
