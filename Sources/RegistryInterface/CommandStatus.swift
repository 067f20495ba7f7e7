/// The exit statuses of `batonctl`. Scripts depend on the numbers; they never change their meaning.
public enum CommandStatus: Int32, Hashable, Sendable, CaseIterable {
  /// All that was asked for was done.
  case success = 0
  /// It failed before anything was tried.
  case failure = 1
  /// The handoff failed and the guest still runs at its source.
  case guestAtSource = 3
  /// The guest is lost.
  case guestLost = 4
  /// The guest is paused, or waits for a person.
  case guestWaits = 5
  /// Nobody answers on the registry's socket.
  case registryUnreachable = 6
  /// The caller may not do this.
  case notAllowed = 7
  /// The registry knows no such guest or handoff.
  case unknownGuest = 8
  /// A check of preflight failed; nothing was tried.
  case preflightFailed = 9
  /// Another handoff of the guest is under way.
  case handoffInProgress = 10
  /// The handoff may still be under way, but is not followed any more.
  case outcomeUnknown = 11
  /// The guest itself has ended.
  case guestEnded = 12
  /// There is nothing to abort or to settle, or it is committed.
  case nothingToAbort = 13
  /// The command line is wrong (`EX_USAGE`).
  case usage = 64

  /// One sentence for the manual and `--help`.
  public var text: String {
    switch self {
    case .success: "All that was asked for was done."
    case .failure: "It failed before anything was tried."
    case .guestAtSource: "The handoff failed and the guest still runs at its source: a safe failure."
    case .guestLost: "The guest is lost."
    case .guestWaits: "The guest is paused, or an alarm waits for a person; see batonctl list."
    case .registryUnreachable: "Nobody answers on the registry's socket."
    case .notAllowed: "The caller may not do this."
    case .unknownGuest: "The registry knows no such guest or handoff."
    case .preflightFailed: "A check of preflight failed; nothing was tried."
    case .handoffInProgress: "Another handoff of the guest is under way; nothing was tried."
    case .outcomeUnknown: "The handoff may still be under way, but is not followed any more."
    case .guestEnded: "The guest itself has ended."
    case .nothingToAbort: "There is nothing to abort or to settle, or it is committed already."
    case .usage: "The command line is wrong."
    }
  }

  /// What a handoff's end means to a script.
  public init(_ handoff: Handoff, _ guest: Guest) {
    switch handoff.outcome {
    case .committed: self = .success
    case .lost: self = .guestLost
    case .ended: self = .guestEnded
    case .inProgress: self = .outcomeUnknown
    case .takenBack, .aborted: self = CommandStatus(failedWith: guest)
    }
  }

  /// What a guest's state and alarm mean after a failure.
  public init(failedWith guest: Guest) {
    if guest.state != .lost && guest.alarm != nil {
      self = .guestWaits
      return
    }
    self.init(state: guest.state)
  }

  /// What the state of a guest means after a failure.
  public init(state: GuestState) {
    switch state {
    case .running, .preparing: self = .guestAtSource
    case .frozen, .staged, .claimed, .takingBack, .waiting, .departing, .arriving: self = .guestWaits
    case .departed: self = .outcomeUnknown
    case .lost: self = .guestLost
    case .ended: self = .guestEnded
    }
  }

  /// The one status for several guests: the worst, a lost guest before all else.
  public static func worst(of statuses: some Sequence<CommandStatus>) -> CommandStatus {
    statuses.max { $0.severity < $1.severity } ?? .success
  }

  private var severity: Int {
    switch self {
    case .success: 0
    case .usage: 1
    case .failure, .nothingToAbort: 2
    case .unknownGuest, .notAllowed, .registryUnreachable, .handoffInProgress, .preflightFailed: 3
    case .guestAtSource: 4
    case .guestEnded: 5
    case .outcomeUnknown: 6
    case .guestWaits: 7
    case .guestLost: 8
    }
  }
}
