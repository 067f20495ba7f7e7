/// How many values of a histogram are at most so large.
public struct Bucket: Codable, Hashable, Sendable {
  /// So large.
  public var upToMicroseconds: UInt64
  /// How many values are at most that, those of smaller buckets included.
  public var count: UInt64

  /// A bucket.
  public init(upToMicroseconds: UInt64, count: UInt64) {
    self.upToMicroseconds = upToMicroseconds
    self.count = count
  }
}

/// How many handoffs ended in one way.
public struct AttemptCount: Codable, Hashable, Sendable {
  /// How they ended.
  public var outcome: Outcome
  /// The name of the reason, if there was one.
  public var refusal: String?
  /// How many.
  public var count: UInt64

  /// A count.
  public init(outcome: Outcome, refusal: String? = nil, count: UInt64) {
    self.outcome = outcome
    self.refusal = refusal
    self.count = count
  }
}

/// What program the registry is.
public struct Build: Codable, Hashable, Sendable {
  /// Its version.
  public var version: String
  /// The GNU build id of its binary, in hexadecimal.
  public var buildId: String?

  /// A program.
  public init(version: String, buildId: String? = nil) {
    self.version = version
    self.buildId = buildId
  }
}

/// How values are distributed, in microseconds.
public struct LatencyHistogram: Codable, Hashable, Sendable {
  /// What is measured: `blackout`, `handoff`, or the raw value of a ``PhaseName``.
  public var name: String
  /// How many values there are.
  public var count: UInt64
  /// The smallest value.
  public var minimumMicroseconds: UInt64
  /// Half of the values are at most this.
  public var p50Microseconds: UInt64
  /// 99 of 100 values are at most this.
  public var p99Microseconds: UInt64
  /// The largest value.
  public var maximumMicroseconds: UInt64
  /// The sum of all values.
  public var sumMicroseconds: UInt64
  /// The same for fixed sizes, ascending; what is larger than the last one is in ``count`` only.
  public var buckets: [Bucket]?

  /// A histogram's figures.
  public init(
    name: String, count: UInt64, minimumMicroseconds: UInt64, p50Microseconds: UInt64,
    p99Microseconds: UInt64, maximumMicroseconds: UInt64, sumMicroseconds: UInt64, buckets: [Bucket]? = nil
  ) {
    self.name = name
    self.count = count
    self.minimumMicroseconds = minimumMicroseconds
    self.p50Microseconds = p50Microseconds
    self.p99Microseconds = p99Microseconds
    self.maximumMicroseconds = maximumMicroseconds
    self.sumMicroseconds = sumMicroseconds
    self.buckets = buckets
  }
}

/// Counts since the registry started, and levels of now. Starts at zero.
public struct Counters: Codable, Hashable, Sendable {
  /// How long the registry runs.
  public var uptimeMicroseconds: UInt64 = 0
  /// Guests it knows now.
  public var guests: UInt64 = 0
  /// Guests with a handoff under way now.
  public var guestsInHandoff: UInt64 = 0
  /// Guests that wait for a person now.
  public var alarms: UInt64 = 0
  /// Connections of VMMs now.
  public var vmmConnections: UInt64 = 0
  /// Connections of operators now.
  public var operatorConnections: UInt64 = 0
  /// Descriptors in custody now.
  public var custodyDescriptors: UInt64 = 0
  /// Bytes of the journal now.
  public var journalBytes: UInt64 = 0
  /// Resident memory of the registry now, in bytes.
  public var residentBytes: UInt64 = 0
  /// Handoffs that were started.
  public var handoffsStarted: UInt64 = 0
  /// Handoffs that ended with the successor as owner.
  public var handoffsCommitted: UInt64 = 0
  /// Handoffs that ended with the guest back at its source after it was staged.
  public var handoffsTakenBack: UInt64 = 0
  /// Handoffs that ended before the guest was staged.
  public var handoffsAborted: UInt64 = 0
  /// Handoffs that ended with the guest lost.
  public var handoffsLost: UInt64 = 0
  /// Handoffs that ended because the guest itself ended.
  public var handoffsEnded: UInt64 = 0
  /// Processes that the fence had to end.
  public var fencedProcesses: UInt64 = 0
  /// Records that were received from VMMs.
  public var recordsReceived: UInt64 = 0
  /// Records that broke the protocol.
  public var recordsRefused: UInt64 = 0
  /// Times the journal was rewritten.
  public var journalCompactions: UInt64 = 0
  /// Refusals by name, of handoffs and of connections.
  public var refusals: [String: UInt64] = [:]
  /// When the registry started, in microseconds since 1970 (`CLOCK_REALTIME`).
  public var startedRealtimeMicroseconds: UInt64?
  /// Guests by ``GuestState`` now; every state is there.
  public var guestsByState: [String: UInt64]?
  /// Handoffs that ended, by outcome and reason.
  public var attempts: [AttemptCount]?
  /// Handoffs that began because the owner asked to be replaced.
  public var handoffsParked: UInt64?
  /// Guests that were registered.
  public var guestsRegistered: UInt64?
  /// Guests that ended with their VMM.
  public var guestsEnded: UInt64?
  /// Slots that are refused now until an upgrade is asked for.
  public var slotsBarred: UInt64?
  /// Slots that came to be refused.
  public var slotsBarredTotal: UInt64?
  /// Alarms that were raised.
  public var alarmsRaised: UInt64?
  /// Descriptors in the service manager's store now; `nil` when there is no store.
  public var storeDescriptors: UInt64?
  /// How many descriptors that store takes; `nil` when there is no store.
  public var storeCapacity: UInt64?
  /// Size of the journal's file now, in bytes.
  public var journalCapacityBytes: UInt64?
  /// Calls of `Watch` that are open now.
  public var operatorWatches: UInt64?
  /// Connections of VMMs that were accepted.
  public var vmmConnectionsTotal: UInt64?
  /// Connections of operators that were accepted.
  public var operatorConnectionsTotal: UInt64?
  /// Log lines that were dropped because nobody read them.
  public var logLinesDropped: UInt64?
  /// Migrations to other hosts that were started, plans not counted.
  public var migrationsStarted: UInt64?
  /// Plans of migrations that were started.
  public var migrationsPlanned: UInt64?
  /// Guests that were given to other hosts.
  public var migrationsDeparted: UInt64?
  /// Migrations that ended with the guest here.
  public var migrationsStayed: UInt64?
  /// Guests that began to come from other hosts.
  public var migrationsArriving: UInt64?
  /// Guests that came from other hosts and were let run.
  public var migrationsArrived: UInt64?
  /// Arrivals of which nothing came.
  public var migrationsFailed: UInt64?

  /// All zero.
  public init() {}
}
