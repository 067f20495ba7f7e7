import BatonCore
import BatonWire

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
  var custody = Descriptors.none
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
    case .lost, .ended: return false
    case .idle:
      guard let machine = registry[journal.name] else { return false }
      return machine.step != .none || !machine.runConfirmed
    }
  }
}
