/// Where a guest stands.
public enum GuestState: String, Codable, Hashable, Sendable, CaseIterable {
  /// Its owner runs it; no handoff is under way.
  case running
  /// Its owner runs it; a handoff is prepared.
  case preparing
  /// It is paused and its state is being saved.
  case frozen
  /// It is paused, and its state waits in the registry for a successor.
  case staged
  /// It is paused, and a successor is receiving it.
  case claimed
  /// It is paused, and the source is taking it back.
  case takingBack
  /// It is paused in custody and nobody owns it.
  case waiting
  /// It cannot be kept.
  case lost
  /// Its owner ended it, or ended.
  case ended
  /// It stands still to leave for another host, and its owner may give it up.
  case departing
  /// It was given to another host.
  case departed
  /// It comes from another host, and may not run yet.
  case arriving

  /// For people: one or two words.
  public var words: String {
    switch self {
    case .running: "running"
    case .preparing: "preparing"
    case .frozen: "frozen"
    case .staged: "staged"
    case .claimed: "claimed"
    case .takingBack: "taking back"
    case .waiting: "waiting"
    case .lost: "lost"
    case .ended: "ended"
    case .departing: "departing"
    case .departed: "departed"
    case .arriving: "arriving"
    }
  }

  /// For people: a clause of an error line.
  public var clause: String {
    switch self {
    case .running: "the guest runs"
    case .preparing: "the guest still runs at the source"
    case .frozen: "the guest is paused at the source"
    case .staged: "the guest is paused, its state waits for a successor"
    case .claimed: "the guest is paused, a successor is receiving it"
    case .takingBack: "the guest is paused, the source is taking it back"
    case .waiting: "the guest waits paused in custody"
    case .lost: "the guest is lost"
    case .ended: "the guest has ended"
    case .departing: "the guest is paused, it is about to leave for another host"
    case .departed: "the guest was given to another host"
    case .arriving: "the guest is paused, it comes from another host"
    }
  }
}

/// How the context of a guest moves.
public enum Way: String, Codable, Hashable, Sendable, CaseIterable {
  /// `LOCAL_SEND` and `LOCAL_RECEIVE` with a token of the kernel.
  case token
  /// `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`.
  case move
  /// No encrypted context: nothing in the kernel arbitrates.
  case none
}

/// A process that owns, owned, or is to own a guest.
public struct VMMProcess: Codable, Hashable, Sendable {
  /// Its process id.
  public var processId: Int32
  /// The user it runs as.
  public var userId: UInt32
  /// What build of the VMM it is, as it says itself.
  public var buildId: String?
  /// Its systemd unit.
  public var unit: String?

  /// A process.
  public init(processId: Int32, userId: UInt32, buildId: String? = nil, unit: String? = nil) {
    self.processId = processId
    self.userId = userId
    self.buildId = buildId
    self.unit = unit
  }
}

/// Something that a person has to settle.
public struct Alarm: Codable, Hashable, Sendable {
  /// What is the matter.
  public var sentence: String
  /// The command that settles it.
  public var command: String
  /// When it was raised, in microseconds since 1970 (`CLOCK_REALTIME`).
  public var sinceRealtimeMicroseconds: UInt64

  /// An alarm.
  public init(sentence: String, command: String, sinceRealtimeMicroseconds: UInt64) {
    self.sentence = sentence
    self.command = command
    self.sinceRealtimeMicroseconds = sinceRealtimeMicroseconds
  }
}

/// A guest, as `List`, `Describe` and `Watch` show it.
public struct Guest: Codable, Hashable, Sendable {
  /// Its name, unique on this host.
  public var name: String
  /// Where it stands.
  public var state: GuestState
  /// How its context moves.
  public var way: Way
  /// How many owners it has had.
  public var epoch: UInt64
  /// The process that owns it, as long as there is one.
  public var owner: VMMProcess?
  /// Its RAM in bytes.
  public var memoryBytes: UInt64
  /// How many virtual CPUs it has.
  public var vcpuCount: UInt32?
  /// The handoff under way.
  public var handoff: UInt64?
  /// The phase that this handoff is in.
  public var phase: PhaseName?
  /// How long this phase may still take; negative once it is overdue.
  public var deadlineMicroseconds: Int64?
  /// The handoff that ended last.
  public var lastHandoff: UInt64?
  /// How that one ended.
  public var lastOutcome: Outcome?
  /// How long that one paused the guest.
  public var lastBlackoutMicroseconds: UInt64?
  /// What a person has to settle.
  public var alarm: Alarm?
  /// The slot that its owner is in; of a guest that waits in custody the slot of the owner that is gone.
  public var slot: Slot?
  /// Slots that are refused in this epoch until an upgrade is asked for; `nil` when there are none.
  public var barredSlots: [BarredSlot]?
  /// Since when it waits in custody with nobody who owns it, in microseconds since 1970.
  public var waitingSinceRealtimeMicroseconds: UInt64?
  /// How a guest that is lost or ended came to its end: one clause without a full stop.
  public var endSentence: String?
  /// When it came to its end, in microseconds since 1970.
  public var endedRealtimeMicroseconds: UInt64?
  /// The migration to or from another host that is under way, or the last one.
  public var migration: Migration?

  /// A guest about which nothing is known beyond what every guest has.
  public init(
    name: String, state: GuestState, way: Way, epoch: UInt64, owner: VMMProcess? = nil, memoryBytes: UInt64,
    vcpuCount: UInt32? = nil
  ) {
    self.name = name
    self.state = state
    self.way = way
    self.epoch = epoch
    self.owner = owner
    self.memoryBytes = memoryBytes
    self.vcpuCount = vcpuCount
  }
}
