/// The phases of a handoff, in their order.
public enum PhaseName: String, Codable, Hashable, Sendable, CaseIterable {
  /// Until both sides are known.
  case attach
  /// The source gets ready.
  case prepare
  /// The source offers RAM and manifest, and the successor gets them.
  case offer
  /// The successor maps the RAM, makes VM and virtual CPUs, and says ready.
  case ready
  /// The guest is stopped and its state saved, up to `LOCAL_SEND`.
  case freeze
  /// The state goes to the registry.
  case stage
  /// The baton goes to the successor.
  case claim
  /// The successor receives the context and restores the state.
  case receive
  /// The registry makes the successor the owner.
  case commit
  /// The verdict goes out and the successor runs the guest.
  case run
  /// The source lets go.
  case release

  /// Whether the guest stands still in this phase.
  public var isBlackout: Bool {
    switch self {
    case .freeze, .stage, .claim, .receive, .commit, .run: true
    case .attach, .prepare, .offer, .ready, .release: false
    }
  }
}

/// How a handoff ended.
public enum Outcome: String, Codable, Hashable, Sendable, CaseIterable {
  /// It has not ended.
  case inProgress
  /// The successor owns the guest.
  case committed
  /// It failed after the guest was staged, and the source runs the guest again.
  case takenBack
  /// It ended before the guest was staged; the source went on.
  case aborted
  /// The guest is lost.
  case lost
  /// The guest itself ended.
  case ended

  /// For people: a few words.
  public var words: String {
    switch self {
    case .inProgress: "in progress"
    case .committed: "committed"
    case .takenBack: "taken back"
    case .aborted: "aborted"
    case .lost: "guest lost"
    case .ended: "guest ended"
    }
  }
}

/// A phase of a handoff.
public struct Phase: Codable, Hashable, Sendable {
  /// Which phase.
  public var name: PhaseName
  /// When it began, counted from the beginning of the handoff.
  public var startMicroseconds: UInt64
  /// How long it took, or `nil` while it lasts.
  public var durationMicroseconds: UInt64?
  /// How long it may take.
  public var limitMicroseconds: UInt64?

  /// A phase.
  public init(
    name: PhaseName, startMicroseconds: UInt64, durationMicroseconds: UInt64? = nil,
    limitMicroseconds: UInt64? = nil
  ) {
    self.name = name
    self.startMicroseconds = startMicroseconds
    self.durationMicroseconds = durationMicroseconds
    self.limitMicroseconds = limitMicroseconds
  }
}

/// Who refused.
public enum RefusedBy: String, Codable, Hashable, Sendable, CaseIterable {
  /// The registry.
  case registry
  /// The process that owned the guest.
  case source
  /// The process that was to own it.
  case successor
  /// The kernel or the firmware.
  case kernel
  /// A person.
  case `operator`
}

/// Why a handoff did not go through.
public struct Refusal: Codable, Hashable, Sendable {
  /// The reason's name, in camelCase; stays the same between versions.
  public var name: String
  /// What happened, for people: one clause without a full stop.
  public var sentence: String
  /// Who refused.
  public var by: RefusedBy

  /// A refusal.
  public init(name: String, sentence: String, by: RefusedBy) {
    self.name = name
    self.sentence = sentence
    self.by = by
  }
}

/// One attempt to move one guest, with its timeline.
public struct Handoff: Codable, Hashable, Sendable {
  /// Its number, never used twice on this host.
  public var number: UInt64
  /// The guest.
  public var guest: String
  /// How the context moves.
  public var way: Way
  /// The guest's epoch before.
  public var epochBefore: UInt64
  /// The guest's epoch after, once it is settled.
  public var epochAfter: UInt64?
  /// How it ended.
  public var outcome: Outcome
  /// The owner before.
  public var source: VMMProcess
  /// The owner to be.
  public var successor: VMMProcess?
  /// When it began, in microseconds since 1970 (`CLOCK_REALTIME`).
  public var startedRealtimeMicroseconds: UInt64
  /// From its beginning to its end, or until now.
  public var durationMicroseconds: UInt64
  /// From the last instruction of the guest on the source to the first on the successor.
  public var blackoutMicroseconds: UInt64?
  /// The phases it went through, in order.
  public var phases: [Phase]
  /// Why it did not go through.
  public var refusal: Refusal?
  /// Whether it began because the owner asked to be replaced, with no successor there yet.
  public var parked: Bool?

  /// A handoff that has just begun.
  public init(
    number: UInt64, guest: String, way: Way, epochBefore: UInt64, source: VMMProcess,
    startedRealtimeMicroseconds: UInt64
  ) {
    self.number = number
    self.guest = guest
    self.way = way
    self.epochBefore = epochBefore
    self.source = source
    self.startedRealtimeMicroseconds = startedRealtimeMicroseconds
    outcome = .inProgress
    durationMicroseconds = 0
    phases = []
  }
}
