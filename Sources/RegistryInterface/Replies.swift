/// Reply of `List`.
public struct ListReply: Codable, Hashable, Sendable {
  /// The guests, by name.
  public var guests: [Guest]

  /// A reply.
  public init(guests: [Guest]) {
    self.guests = guests
  }
}

/// Reply of `Describe`.
public struct DescribeReply: Codable, Hashable, Sendable {
  /// The guest.
  public var guest: Guest
  /// Its handoffs that are still remembered, oldest first.
  public var handoffs: [Handoff]

  /// A reply.
  public init(guest: Guest, handoffs: [Handoff]) {
    self.guest = guest
    self.handoffs = handoffs
  }
}

/// What an event of `Watch` is about.
public enum EventKind: String, Codable, Hashable, Sendable, CaseIterable {
  /// The first reply: all that is known now.
  case snapshot
  /// A guest was registered.
  case guestAppeared
  /// Something about a guest changed.
  case guestChanged
  /// A guest was forgotten.
  case guestGone
  /// A handoff began.
  case handoffStarted
  /// A phase began.
  case phaseStarted
  /// A phase ended.
  case phaseEnded
  /// A handoff ended.
  case handoffEnded
  /// A person has to settle something.
  case alarmRaised
  /// It was settled.
  case alarmCleared
  /// A migration to or from another host began.
  case migrationStarted
  /// A migration goes on.
  case migrationProgress
  /// A migration ended.
  case migrationEnded
}

/// Reply of `Watch`.
public struct WatchEvent: Codable, Hashable, Sendable {
  /// Counts the replies of this subscription from 0. Set by whoever sends it.
  public var sequence: UInt64
  /// When it happened, in microseconds since 1970 (`CLOCK_REALTIME`).
  public var realtimeMicroseconds: UInt64
  /// What it is about.
  public var kind: EventKind
  /// All guests; in a snapshot only.
  public var guests: [Guest]?
  /// The guest as it is now; in all but a snapshot.
  public var guest: Guest?
  /// The handoff as it is now, if the event is about one.
  public var handoff: Handoff?
  /// The phase, if the event is about one.
  public var phase: Phase?
  /// The migration as it is now, if the event is about one.
  public var migration: Migration?

  /// An event.
  public init(
    sequence: UInt64, realtimeMicroseconds: UInt64, kind: EventKind, guests: [Guest]? = nil,
    guest: Guest? = nil, handoff: Handoff? = nil, phase: Phase? = nil, migration: Migration? = nil
  ) {
    self.sequence = sequence
    self.realtimeMicroseconds = realtimeMicroseconds
    self.kind = kind
    self.guests = guests
    self.guest = guest
    self.handoff = handoff
    self.phase = phase
    self.migration = migration
  }
}

/// Reply of `Preflight`.
public struct PreflightReply: Codable, Hashable, Sendable {
  /// The guest's name.
  public var guest: String
  /// The worst of the checks.
  public var verdict: CheckVerdict
  /// Every check that was made.
  public var checks: [Check]

  /// A reply whose verdict is the worst of its checks.
  public init(guest: String, checks: [Check]) {
    self.guest = guest
    self.checks = checks
    verdict = CheckVerdict.worst(of: checks)
  }
}

/// What a reply of `Upgrade` tells.
public enum UpgradeStep: String, Codable, Hashable, Sendable, CaseIterable {
  /// The intent is recorded: start the successor now.
  case recorded
  /// A phase began.
  case phaseStarted
  /// A phase ended.
  case phaseEnded
  /// The end: handoff and guest say how it went.
  case finished
}

/// Reply of `Upgrade`.
public struct UpgradeReply: Codable, Hashable, Sendable {
  /// What this reply tells.
  public var step: UpgradeStep
  /// The handoff's number.
  public var number: UInt64
  /// The guest as it is now.
  public var guest: Guest
  /// The phase; in ``UpgradeStep/phaseStarted`` and ``UpgradeStep/phaseEnded``.
  public var phase: Phase?
  /// The handoff with its timeline; in ``UpgradeStep/finished``.
  public var handoff: Handoff?

  /// A reply.
  public init(
    step: UpgradeStep, number: UInt64, guest: Guest, phase: Phase? = nil, handoff: Handoff? = nil
  ) {
    self.step = step
    self.number = number
    self.guest = guest
    self.phase = phase
    self.handoff = handoff
  }
}

/// Reply of `Abort`.
public struct AbortReply: Codable, Hashable, Sendable {
  /// The handoff's number.
  public var number: UInt64
  /// How it ended, or ``Outcome/inProgress`` while the source takes the guest back.
  public var outcome: Outcome
  /// The guest as it is now.
  public var guest: Guest

  /// A reply.
  public init(number: UInt64, outcome: Outcome, guest: Guest) {
    self.number = number
    self.outcome = outcome
    self.guest = guest
  }
}

/// Reply of `Metrics`.
public struct MetricsReply: Codable, Hashable, Sendable {
  /// Counts and levels.
  public var counters: Counters
  /// The histograms of blackout, whole handoffs and each phase, of committed handoffs.
  public var histograms: [LatencyHistogram]
  /// What program the registry is.
  public var build: Build?

  /// A reply.
  public init(counters: Counters, histograms: [LatencyHistogram], build: Build? = nil) {
    self.counters = counters
    self.histograms = histograms
    self.build = build
  }
}
