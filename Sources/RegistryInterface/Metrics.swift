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

  /// A histogram's figures.
  public init(
    name: String, count: UInt64, minimumMicroseconds: UInt64, p50Microseconds: UInt64,
    p99Microseconds: UInt64, maximumMicroseconds: UInt64, sumMicroseconds: UInt64
  ) {
    self.name = name
    self.count = count
    self.minimumMicroseconds = minimumMicroseconds
    self.p50Microseconds = p50Microseconds
    self.p99Microseconds = p99Microseconds
    self.maximumMicroseconds = maximumMicroseconds
    self.sumMicroseconds = sumMicroseconds
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
  /// Refusals by name.
  public var refusals: [String: UInt64] = [:]

  /// All zero.
  public init() {}
}
