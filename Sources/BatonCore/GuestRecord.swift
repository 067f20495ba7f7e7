public import BatonWire

/// What the journal knows about a guest. Everything else is forgotten when the registry ends.
public struct GuestRecord: Hashable, Sendable {
  /// Where the guest's ownership stands, as Tests/Model has it.
  public enum Phase: UInt8, Hashable, Sendable, CaseIterable {
    /// The owner runs the guest, or is about to with the verdict.
    case idle = 0
    /// The source has given the baton to the registry; nobody has it.
    case staged = 1
    /// The baton was given, or is about to be given, to the claimant.
    case claimed = 2
    /// The source is to take the guest back.
    case rollback = 3
    /// Nothing of the guest is left that the kernel could run.
    case lost = 4
    /// The guest ended with its VMM.
    case ended = 5
    /// The guest stands still to leave for another host; its VMM may give it up, and may not run it.
    case departing = 6
    /// The guest was given to another host: over here.
    case departed = 7
    /// The owner receives the guest from another host, and may not run it.
    case arriving = 8
  }

  public var name: GuestName
  public var way: Way
  /// Nil only when the journal was lost and a claimant spoke before its source.
  public var owner: ProcessID?
  public var epoch: UInt64
  public var phase: Phase
  /// The number of the last attempt; never used again.
  public var handoff: UInt64
  public var claimant: ProcessID?
  /// Processes that owned the guest or had its baton and have not been seen dead: they are told to
  /// go, and fenced. The owner is among them when its guest is parked: staged, and waiting for its next VMM.
  public var leaving: [ProcessID]
  /// The migration under way, or the one with which the guest left or came.
  public var migration: MigrationRecord?
  /// The migration before: the one with which the guest had left, until it leaves again; the one with which it came,
  /// once it leaves again; the one with which it was to come back, when nothing came of that.
  public var previous: MigrationRecord?
  /// Migrations that ended with the guest here, the oldest first.
  public var stayed: [MigrationID]

  /// Most entries of ``stayed``; older ones are forgotten.
  public static let maximumStayed = 16

  public init(
    name: GuestName, way: Way, owner: ProcessID?, epoch: UInt64, phase: Phase, handoff: UInt64,
    claimant: ProcessID?, leaving: [ProcessID] = [], migration: MigrationRecord? = nil,
    previous: MigrationRecord? = nil, stayed: [MigrationID] = []
  ) {
    self.name = name
    self.way = way
    self.owner = owner
    self.epoch = epoch
    self.phase = phase
    self.handoff = handoff
    self.claimant = claimant
    self.leaving = leaving
    self.migration = migration
    self.previous = previous
    self.stayed = stayed
  }
}
