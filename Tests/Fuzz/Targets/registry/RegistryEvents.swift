import BatonCore
import BatonWire
import FuzzSupport

/// Bytes as a course of events, sensible or not, of one guest and five processes. The machine must not trap,
/// and on record the owner changes only with an epoch that grows: never two owners in one epoch.
@c(LLVMFuzzerTestOneInput)
public func fuzzRegistry(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
  let input = unsafe copyInput(start, count)
  guard let name = GuestName("vm1") else { preconditionFailure("vm1 is a name") }
  var world = World(name: name, source: ByteSource(input))
  while !world.source.isEmpty { world.step() }
  return 0
}

private struct World {
  let name: GuestName
  var source: ByteSource
  var registry = Registry(isSettling: false)
  var lastRecord: GuestRecord?

  static let format = StateFormat(name: "test", version: 1, features: 0)
  static let processes = (1...5).map { ProcessID(pid: Int32($0), startTime: UInt64($0)) }

  init(name: GuestName, source: ByteSource) {
    self.name = name
    self.source = source
  }

  mutating func step() {
    let choice = source.below(20)
    if choice == 19 {
      restart()
      return
    }
    for effect in registry.handle(event(choice), for: name) { check(effect) }
  }

  /// batond dies and comes back with what it wrote last.
  mutating func restart() {
    guard let lastRecord else { return }
    let (restored, effects) = Registry.restored([lastRecord])
    registry = restored
    for effect in effects.flatMap(\.1) { check(effect) }
  }

  mutating func check(_ effect: Effect) {
    guard case .journal(let record) = effect else { return }
    if let before = lastRecord {
      precondition(record.epoch >= before.epoch, "the epoch went back: \(before) to \(record)")
      precondition(record.handoff >= before.handoff, "a handoff's number came again")
      // Whoever receives a guest owns it only in the next epoch.
      let isOver = [GuestRecord.Phase.ended, .lost, .departed, .arriving].contains(before.phase)
      if record.epoch == before.epoch, let was = before.owner, !isOver {
        precondition(record.owner == was, "another owner without a commit: \(before) to \(record)")
      }
    }
    guard let contents = try? Journal.replay(Journal.image([record])) else {
      preconditionFailure("a record cannot be read back: \(record)")
    }
    precondition(contents.records == [record], "a record changed in the journal")
    lastRecord = record
  }

  mutating func event(_ choice: Int) -> RegistryEvent {
    let process = Self.processes[source.below(5)]
    switch choice {
    case 0..<6:
      let reads = ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0)
      return .hello(
        process, report(), reads: reads, manifest: source.flag() ? manifest() : nil,
        isAlive: source.below(8) != 0, bringsVM: Self.bringsVM(process))
    case 6..<13:
      return .report(
        process, report(), isAlive: source.below(8) != 0, bringsVM: Self.bringsVM(process))
    case 13: return .disconnected(process)
    case 14: return .exited(process)
    case 15: return .died(process)
    case 16:
      let deadlines: [Deadline] = [.prepare, .freeze, .claim, .takeBack, .release(process)]
      return .deadline(deadlines[source.below(5)], handoff: handoff())
    case 17 where source.below(4) == 3: return operatorsWord()
    case 17: return .abort
    default: return .settled
    }
  }

  /// Every other process gives its VMs into custody; not drawn, so that inputs keep their meaning.
  static func bringsVM(_ process: ProcessID) -> Bool { process.pid % 2 == 1 }

  /// Near the number on record, so that most reports are about something.
  mutating func handoff() -> UInt64 {
    let known = lastRecord?.handoff ?? registry[name]?.record.handoff ?? 0
    return Self.decodable(known &+ UInt64(source.below(4)) &- 1)
  }

  mutating func epoch() -> UInt64 {
    Self.decodable((registry[name]?.record.epoch ?? 0) &+ UInt64(source.below(3)) &- 1)
  }

  /// A standing's number above this is refused where it is decoded.
  static func decodable(_ number: UInt64) -> UInt64 { number & (1 << 62 - 1) }

  mutating func stage() -> Stage {
    Stage(
      envelopeByteCount: 64, format: Self.format, lastInstruction: 1, freezeStarted: 2, contextSent: 3)
  }

  mutating func manifest() -> Manifest {
    let ways: [Way] = [.token, .move, .none]
    return Manifest(
      way: ways[source.below(3)], vcpuCount: 1,
      files: [RAMFile(device: 1, inode: 2, byteCount: 4_096)],
      regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: 4_096, file: 0, fileOffset: 0)],
      hasVM: source.flag(), names: [], format: Self.format)
  }

  /// One of two migrations, with one of two receipts.
  mutating func migration() -> MigrationStart {
    func bytes(_ count: Int, _ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: count) }
    guard let id = MigrationID(bytes(MigrationID.byteCount, source.below(2) == 0 ? 1 : 2)),
      let receipt = DepartureReceipt(bytes(DepartureReceipt.byteCount, 3)),
      let lock = DepartureLock(bytes(DepartureLock.byteCount, source.below(4) == 0 ? 4 : 5))
    else { preconditionFailure("these are as long as they have to be") }
    return MigrationStart(id: id, receipt: receipt, lock: lock, request: MigrationRequest(host: "south"))
  }

  mutating func operatorsWord() -> RegistryEvent {
    let start = migration()
    switch source.below(4) {
    case 0: return .migrate(start)
    case 1: return .receiptShown(start.id, lock: start.lock)
    case 2: return .arrivalCancelled(start.id)
    default: return .departureConfirmed(start.id)
    }
  }

  mutating func ofMigration() -> Report {
    let start = migration()
    let steps = Departing.Step.allCases
    switch source.below(8) {
    case 0: return .departing(start.id)
    case 1: return .departed(start.id)
    case 2: return .stays(start.id, .linkLost)
    case 3: return .confirmed(start.id)
    case 4: return .arrived(start.id)
    case 5: return .receipt(start.id, lock: start.lock)
    case 6:
      return .standsArriving(
        Arriving(
          id: start.id, lock: start.lock, epoch: epoch(), peer: "north", isArrived: source.flag()))
    default:
      return .standsDeparting(
        Departing(
          id: start.id, lock: start.lock, epoch: epoch(), peer: "south", step: steps[source.below(4)],
          receipt: start.receipt))
    }
  }

  mutating func report() -> Report {
    let choice = source.byte()
    // What is left of a byte above a multiple of 14.
    guard choice < 252 else { return choice == 252 ? .park(epoch()) : ofMigration() }
    return switch choice % 14 {
    case 0: .fresh
    case 1: .attach(prepared: handoff())
    case 2: .claiming(handoff())
    case 3: .received(handoff())
    case 4: .refused(handoff(), used: source.flag(), returned: source.flag() ? stage() : nil)
    case 5: .staged(handoff(), stage())
    case 6: .tookBack(handoff())
    case 7: .used(handoff())
    case 8: .resumed(handoff())
    case 9: .running(epoch(), firstInstruction: 1)
    case 10: .offer(handoff(), manifest())
    case 11: .ready(handoff())
    case 12: .declined(handoff(), .batonUnknown)
    default: .ended(epoch())
    }
  }
}
