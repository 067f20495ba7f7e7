import BatonCore
import BatonWire
import Testing

/// Two registries, the two VMMs of a migration between them, and an operator on each host. Everything that is sent
/// waits in a queue until it is delivered, and may be lost with its connection; everybody may die at any moment.
///
/// Locks are the bytes of their receipts: what the hash is good for is not the matter here.
struct TwoHosts {
  enum Side: CaseIterable { case north, south }

  /// What is done wrong on purpose, to show that the checks bite.
  enum Breakage: CaseIterable {
    /// The source's registry gives the order to depart and does not write it down.
    case forgetDeparting
    /// The source runs on by its own word when the link breaks after it said `departing`.
    case resumeAlone
    /// The source hands the receipt over as soon as it has it.
    case receiptBeforeDeparture
    /// The target runs when the receipt comes, without a verdict.
    case runWithoutVerdict
    /// The target's registry takes any receipt.
    case takeAnyReceipt
    /// The target says `ready` before its registry has answered that everything is there.
    case readyUnheard
    /// A registry takes a process that does not answer for a dead one.
    case guessDeath
  }

  enum Fault: CaseIterable { case kill, crash, loseJournal, cutRecords, cutLink, abort }

  struct Violation: Error, CustomStringConvertible {
    let text: String
    let trace: [String]
    var description: String { ([text] + trace).joined(separator: "\n") }
  }

  static let name = GuestName("vm1")
  static let source = ProcessID(pid: 1, startTime: 1)
  static let target = ProcessID(pid: 2, startTime: 2)
  static let reads = ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0)

  /// A host: its registry and what survives it, and the one VMM that it has.
  struct Host {
    var registry: Registry
    var isUp = true
    var journal: GuestRecord?
    var hasLostJournal = false
    /// Everything the registry ever wrote, for the checks.
    var hasDeparted = false
    var process: ProcessID
    var vmmIsAlive = false
    var deathIsSeen = false
    var toRegistry: [RegistryEvent] = []
    var toVMM: [RegistryMessage] = []
    var isConnected = false
    /// Carries no descriptors and no deadlines: what the driver would do with them decides nothing here.
    var held: RegistryEvent?
  }

  /// What the source's VMM is.
  enum SourceState {
    case running(epoch: UInt64)
    /// Copies the guest, which runs.
    case migrating(epoch: UInt64)
    case departing(Departure)
    /// Has given it up, with the receipt to pass on.
    case departed(DepartureReceipt)
    case gone
  }

  enum TargetState {
    case waiting
    case arriving(Arrival)
    case running(epoch: UInt64)
    case gone
  }

  enum LinkMessage {
    case preamble(MigrationStart)
    case everything
    case ready
    case receipt(DepartureReceipt)
    case running
  }

  var hosts: [Side: Host] = [:]
  var sourceState = SourceState.gone
  var targetState = TargetState.waiting
  var linkIsUp = true
  var toTarget: [LinkMessage] = []
  var toSource: [LinkMessage] = []
  let start: MigrationStart
  let wrongReceipt: DepartureReceipt
  var isMigrationAsked = false
  var wasSourceKilledBeforeDeparture = false
  var wasTargetKilled = false
  var hasReceiptOut = false
  var hasSaidReady = false
  /// The target's connection was made when everything was there, and its first record said so.
  var hasSaidArrivedFirst = false
  var faultsLeft: Int
  let breakage: Breakage?
  var random: SplitMix
  var trace: [String] = []
  var faultsSeen: Set<Fault> = []

  init(seed: UInt64, faults: Int, breakage: Breakage? = nil) throws {
    start = MigrationStart(
      id: try #require(MigrationID([UInt8](repeating: 7, count: 16))),
      receipt: try #require(DepartureReceipt([UInt8](repeating: 9, count: 32))),
      lock: try #require(DepartureLock([UInt8](repeating: 9, count: 32))),
      request: MigrationRequest(host: "south"))
    wrongReceipt = try #require(DepartureReceipt([UInt8](repeating: 8, count: 32)))
    faultsLeft = faults
    self.breakage = breakage
    random = SplitMix(state: seed)
    for side in Side.allCases {
      hosts[side] = Host(
        registry: Registry(isSettling: false), process: side == .north ? Self.source : Self.target)
    }
    hosts[.north]?.vmmIsAlive = true
    hosts[.south]?.vmmIsAlive = true
    hello(.north, .fresh)
    while deliverOne() {}
  }

  static func lock(of receipt: DepartureReceipt) -> DepartureLock? { DepartureLock(receipt.bytes) }
}

/// A small generator, so that a seed is a run.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var word = state
    word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
    word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
    return word ^ (word >> 31)
  }
}
