/// On which side of a migration a host is.
public enum MigrationRole: String, Codable, Hashable, Sendable, CaseIterable {
  /// The guest leaves it.
  case source
  /// The guest comes to it.
  case target
}

/// Where a migration stands.
public enum MigrationPhase: String, Codable, Hashable, Sendable, CaseIterable {
  /// The two VMMs are being connected.
  case connecting
  /// Certificates, policies and machines are compared.
  case checking
  /// Rates are measured.
  case planning
  /// The guest runs, and its memory is copied.
  case copying
  /// The guest stands still, and the rest is copied.
  case finishing
  /// The target has all of it.
  case ready
  /// The source's VMM may give the guest up.
  case departing
  /// The guest is not the source's any more; whether it runs at the target is not known yet.
  case departed
  /// The target receives the guest.
  case arriving
  /// The target has all of it, and waits for the receipt.
  case arrived
  /// It is over, and the guest runs at the target; of a plan: it is made.
  case done
  /// It is over, and nothing moved.
  case failed
}

/// How a migration ended.
public enum MigrationOutcome: String, Codable, Hashable, Sendable, CaseIterable {
  /// It has not ended.
  case inProgress
  /// It was only planned.
  case planned
  /// The guest runs at the target.
  case migrated
  /// The guest stayed at the source.
  case stayed
  /// At the target nothing came of it.
  case failed

  /// For people: one to three words.
  public var words: String {
    switch self {
    case .inProgress: "in progress"
    case .planned: "planned"
    case .migrated: "migrated"
    case .stayed: "stayed at the source"
    case .failed: "failed"
    }
  }
}

/// What the source's VMM says about a migration: figures of now, and of the plan.
public struct MigrationProgress: Codable, Hashable, Sendable {
  /// Counts the passes over RAM from 1; 0 before the first.
  public var round: UInt64 = 0
  /// Pages of guest RAM.
  public var pagesTotal: UInt64 = 0
  /// Pages sent, repeated ones counted each time.
  public var pagesSent: UInt64 = 0
  /// Pages that are to be sent yet.
  public var pagesRemaining: UInt64 = 0
  /// Bytes sent.
  public var bytesSent: UInt64 = 0
  /// Pages sent in a second.
  public var pagesPerSecond: UInt64 = 0
  /// Pages that the guest writes in a second.
  public var dirtyPagesPerSecond: UInt64 = 0
  /// From now to the end.
  public var expectedMilliseconds: UInt64 = 0
  /// How long the guest will stand still.
  public var expectedPauseMilliseconds: UInt64 = 0
  /// Whether it comes to an end.
  public var willConverge: Bool = true
  /// Since the first round began.
  public var elapsedMilliseconds: UInt64 = 0
  /// How long the guest stood still; 0 as long as it is not known.
  public var pauseMicroseconds: UInt64 = 0
  /// Of the plan, as all that follow: how many passes over RAM; 0 is not told.
  public var expectedRounds: UInt64 = 0
  /// Pages that go through the secure processor.
  public var encryptedPages: UInt64 = 0
  /// Pages that go in the clear, inside TLS.
  public var plainPages: UInt64 = 0
  /// Pages of nothing but zeros.
  public var zeroPages: UInt64 = 0
  /// What the connection carries in a second.
  public var linkBytesPerSecond: UInt64 = 0
  /// Pages that the guest writes over and over.
  public var workingSetPages: UInt64 = 0
  /// The longest pause that was asked for.
  public var maxPauseMilliseconds: UInt64 = 0
  /// As ``expectedPauseMilliseconds``, for pauses of few of them; 0 is not told.
  public var expectedPauseMicroseconds: UInt64 = 0
  /// What else is to be said, for people.
  public var text: String?
  /// Every check that was made, on both hosts; with the plan only.
  public var checks: [Check]?

  /// Nothing yet.
  public init() {}
}

/// One migration of one guest, as one of the two hosts sees it.
public struct Migration: Codable, Hashable, Sendable {
  /// Its id: 32 hexadecimal digits, the same on both hosts.
  public var id: String
  /// On which side this host is.
  public var role: MigrationRole
  /// The other host: as it was asked for, or as it named itself.
  public var peer: String
  /// Where it stands.
  public var phase: MigrationPhase
  /// How it ended.
  public var outcome: MigrationOutcome
  /// Whether it is only to be planned.
  public var planOnly: Bool
  /// Whether an operator has ended it, and its VMM has not answered yet.
  public var cancelling: Bool
  /// When it began, in microseconds since 1970 (`CLOCK_REALTIME`).
  public var startedRealtimeMicroseconds: UInt64
  /// When it ended, in microseconds since 1970 (`CLOCK_REALTIME`).
  public var endedRealtimeMicroseconds: UInt64?
  /// Why the guest stayed.
  public var refusal: Refusal?
  /// The last figures; on the source only.
  public var progress: MigrationProgress?

  /// A migration that begins.
  public init(
    id: String, role: MigrationRole, peer: String, phase: MigrationPhase, planOnly: Bool = false,
    startedRealtimeMicroseconds: UInt64
  ) {
    self.id = id
    self.role = role
    self.peer = peer
    self.phase = phase
    self.planOnly = planOnly
    self.startedRealtimeMicroseconds = startedRealtimeMicroseconds
    outcome = .inProgress
    cancelling = false
  }
}
