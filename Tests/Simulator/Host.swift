import BatonCore
import BatonWire

/// What is in custody.
struct HeldDescriptors: Hashable {
  var ram = false
  var state: SavedState?
  var vm: Int?
  var takeBackVM: Int?
  var returnedVMs: [Int] = []
  var successorVMs: [ProcessID: Int] = [:]

  var vms: [Int] { [vm, takeBackVM].compactMap { $0 } + returnedVMs + successorVMs.values }

  /// The VMs of a grant.
  func vms(of grant: VMGrant) -> [Int] {
    (grant.staged ? [vm].compactMap { $0 } : []) + (grant.takeBack ? [takeBackVM].compactMap { $0 } : [])
      + (grant.returned ? returnedVMs : []) + grant.successors.compactMap { successorVMs[$0] }
  }
}

/// What the service manager's descriptor store has of the guest, and what is noted along with it.
struct StoredDescriptors {
  /// The attempt that its names tell.
  let epoch: UInt64
  let handoff: UInt64
  var held: HeldDescriptors
  var manifest: Manifest
  var stage: Stage?

  /// What a registry goes on with after a restart, or nil when it does not belong to what the journal says.
  func restored(_ journal: GuestRecord) -> GuestMachine.Held? {
    guard journal.epoch == epoch, journal.handoff == handoff, journal.way == manifest.way, held.ram,
      held.state != nil, let stage
    else { return nil }
    switch journal.phase {
    case .idle, .lost, .ended, .departing, .departed, .arriving: return nil
    case .staged, .claimed, .rollback: break
    }
    var custody = GuestMachine.Custody()
    custody.hasRAM = true
    custody.hasState = true
    custody.hasVM = held.vm != nil
    custody.hasTakeBackVM = held.takeBackVM != nil
    custody.successors = Set(held.successorVMs.keys)
    return GuestMachine.Held(custody: custody, manifest: manifest, stage: stage)
  }
}

/// What batond is around the registry's machine, and what of it survives its death.
struct Host {
  var isUp = true
  var registry: Registry
  /// The last entry of the journal as the machine ordered it; nil when there is none.
  var journal: GuestRecord?
  /// What a restart reads: the same, unless a write was dropped on purpose.
  var disk: GuestRecord?
  /// What the checks know of the guest even while the journal is lost.
  var truth: GuestRecord?
  /// The descriptors in its hands: gone when it dies.
  var custody = HeldDescriptors()
  /// What outlives its death.
  var stored: StoredDescriptors?
  /// Connections by process, oldest first; the last one is the present one.
  var links: [ProcessID: [Link]] = [:]
  /// Processes it has a pidfd of and has not seen dead.
  var pidfds: Set<ProcessID> = []
  /// First records that wait until it has settled.
  var held: [(ProcessID, Link, Record)] = []
  var deadlines: [(Deadline, UInt64)] = []
  /// Dies between two effects of the next event.
  var crashesInNextEvent = false
  var journalIsGone = false
  var deaths = 0
  /// The highest numbers ever given out, whether the journal still knows them or not.
  var lastHandoff: UInt64 = 0
  var lastEpoch: UInt64 = 0
  let speed = 6

  init(isSettling: Bool) {
    registry = Registry(isSettling: isSettling)
  }

  /// The connection that orders go out on: the newest whose first record was taken.
  func heardLink(of process: ProcessID) -> Link? { links[process]?.last { $0.saidHello } }

  func isHeld(_ link: Link) -> Bool { held.contains { $0.1 === link } }

  /// Whether something is under way that a fault could hit.
  var attemptIsRunning: Bool {
    guard let journal else { return false }
    switch journal.phase {
    case .staged, .claimed, .rollback: return true
    case .lost, .ended, .departing, .departed, .arriving: return false
    case .idle:
      guard let machine = registry[journal.name] else { return false }
      return machine.step != .none || !machine.runConfirmed
    }
  }
}
