import BatonCore
import BatonWire
import Testing

/// A registry with one guest, and the records that lead to each column of the failure table.
struct TestGuest {
  static let source = ProcessID(pid: 1, startTime: 1)
  static let successor = ProcessID(pid: 2, startTime: 2)
  static let next = ProcessID(pid: 3, startTime: 3)
  static let format = StateFormat(name: "test", version: 1, features: 0)
  static let reads = ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0)
  static let stage = Stage(
    envelopeByteCount: 64, format: format, lastInstruction: 1, freezeStarted: 2, contextSent: 3)

  enum Column: CaseIterable {
    case beforeStaged, staged, claimed, received, committed
  }

  let name: GuestName
  let way: Way
  /// Whether what outlives its VMM is given along: the VM of way `token`; with way `move` also the take-back VM
  /// and the successor's.
  let hasVM: Bool
  var registry = Registry(isSettling: false)
  /// Everything since the last ``forget()``.
  var effects: [Effect] = []

  init(way: Way, hasVM: Bool = false) throws {
    name = try #require(GuestName("vm1"))
    self.way = way
    self.hasVM = hasVM
  }

  var manifest: Manifest {
    Manifest(
      way: way, vcpuCount: 1, files: [RAMFile(device: 1, inode: 2, byteCount: 4_096)],
      regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: 4_096, file: 0, fileOffset: 0)],
      hasVM: hasVM || way == .move, names: [], format: Self.format)
  }

  private func bringsVM(_ report: Report) -> Bool {
    guard way == .move, hasVM else { return false }
    return switch report {
    case .offer, .ready, .claiming, .received, .staged: true
    case .attach(let handoff): handoff != 0
    case .fresh, .refused, .tookBack, .used, .resumed, .running, .declined, .ended, .described,
      .park, .departing, .departed, .stays, .confirmed, .standsDeparting, .standsArriving, .arrived, .receipt:
      false
    }
  }

  var machine: GuestMachine? { registry[name] }
  var record: GuestRecord? { machine?.record }

  // MARK: Events

  @discardableResult mutating func take(_ event: RegistryEvent) -> [Effect] {
    let new = registry.handle(event, for: name)
    effects += new
    return new
  }

  @discardableResult mutating func hello(
    _ process: ProcessID, _ report: Report, reads: ReadableFormats = Self.reads, isAlive: Bool = true
  ) -> [Effect] {
    take(
      .hello(
        process, report, reads: reads, manifest: manifest, isAlive: isAlive, bringsVM: bringsVM(report)))
  }

  @discardableResult mutating func say(
    _ process: ProcessID, _ report: Report, isAlive: Bool = true
  ) -> [Effect] {
    // Only a first record presents a VM again; a stage brings the state alone.
    let isStage = if case .staged = report { true } else { false }
    let isReceived = if case .received = report { true } else { false }
    return take(
      .report(process, report, isAlive: isAlive, bringsVM: !isStage && !isReceived && bringsVM(report)))
  }

  mutating func forget() { effects = [] }

  /// batond dies and comes back with its journal and nothing else.
  mutating func restart() {
    guard let record else { return }
    let (registry, first) = Registry.restored([record])
    self.registry = registry
    effects += first.flatMap(\.1)
  }

  /// The time to come back to a registry without a journal is over.
  mutating func settle() { effects += registry.settle().flatMap(\.1) }

  // MARK: Course of a handoff

  mutating func start() {
    hello(Self.source, .fresh)
    say(Self.source, .running(1, firstInstruction: 1))
  }

  /// A first handoff up to a column of the failure table. In ``Column/received`` the successor has the
  /// context, and its record is not processed yet: for the machine that is ``Column/claimed``.
  mutating func go(to column: Column) throws {
    start()
    hello(Self.successor, .attach(prepared: 0))
    say(Self.source, .offer(1, manifest))
    guard column != .beforeStaged else { return }
    say(Self.successor, .ready(1))
    say(Self.source, .staged(1, Self.stage))
    switch column {
    case .beforeStaged, .claimed, .received: break
    case .staged:
      // batond died after that entry and before the next one; the source has come back.
      let staged = try #require(journalled.first { $0.phase == .staged })
      registry = Registry.restored([staged]).0
      hello(Self.source, .staged(1, Self.stage))
    case .committed:
      say(Self.successor, .received(1))
      say(Self.successor, .running(2, firstInstruction: 2))
    }
  }

  /// Lets everybody who lives do what he is told, until nobody is told anything any more.
  ///
  /// - Parameter batonIsUsed: What the source finds when it tries to take back.
  mutating func finish(living: Set<ProcessID>, batonIsUsed: Bool = false) {
    forget()
    finishFromHere(living: living, batonIsUsed: batonIsUsed)
  }

  mutating func finishFromHere(living: Set<ProcessID>, batonIsUsed: Bool) {
    var next = 0
    while next < effects.count {
      defer { next += 1 }
      if case .fence(let process) = effects[next] {
        take(.died(process))
        continue
      }
      guard let (message, process, _) = Self.delivery(effects[next]), living.contains(process) else {
        continue
      }
      switch message {
      case .prepare(let handoff): say(process, .offer(handoff, manifest))
      case .offered(let handoff, _, _): say(process, .ready(handoff))
      case .freeze(let handoff): say(process, .staged(handoff, Self.stage))
      case .claim(let handoff, _):
        say(process, batonIsUsed ? .refused(handoff, used: true, returned: nil) : .received(handoff))
      case .takeBack(let handoff):
        switch record?.phase {
        case .idle: say(process, .resumed(handoff))
        case .staged, .claimed, .rollback, .lost, .ended, .departing, .departed, .arriving, nil:
          say(process, batonIsUsed ? .used(handoff) : .tookBack(handoff))
        }
      case .run(let epoch): say(process, .running(epoch, firstInstruction: 1))
      case .release: take(.died(process))
      case .welcome, .refusal, .preflight, .migrate, .depart, .cancelMigration,
        .arrivalJournalled:
        break
      }
    }
  }

  /// Who runs the guest, or what became of it.
  enum Outcome: Hashable {
    case runs(ProcessID, epoch: UInt64)
    case lost, ended, staged, claimed, rollback, departing, departed, arriving
  }

  var outcome: Outcome? {
    guard let machine, let record else { return nil }
    switch record.phase {
    case .idle: return record.owner.map { .runs($0, epoch: machine.runConfirmed ? record.epoch : 0) }
    case .lost: return .lost
    case .ended: return .ended
    case .staged: return .staged
    case .claimed: return .claimed
    case .rollback: return .rollback
    case .departing: return .departing
    case .departed: return .departed
    case .arriving: return .arriving
    }
  }

  // MARK: What came of it

  var journalled: [GuestRecord] {
    effects.compactMap { if case .journal(let record) = $0 { record } else { nil } }
  }

  var sent: [(RegistryMessage, ProcessID)] {
    effects.compactMap { Self.delivery($0).map { ($0.0, $0.1) } }
  }

  private static func delivery(_ effect: Effect) -> (RegistryMessage, ProcessID, VMGrant?)? {
    switch effect {
    case .send(let message, let to): (message, to, nil)
    case .give(let message, let grant, let to): (message, to, grant)
    case .journal, .refuse, .keepDescriptors, .emptyCustody, .fence, .arm, .disarm, .note: nil
    }
  }

  /// The VMs that went along with claims and orders to take back, to whom, in order.
  var grants: [(VMGrant, ProcessID)] {
    effects.compactMap { effect in
      guard case .give(_, let grant, let to) = effect else { return nil }
      return (grant, to)
    }
  }

  func wasSent(_ message: RegistryMessage, to process: ProcessID) -> Bool {
    sent.contains { $0.0 == message && $0.1 == process }
  }

  func wasReleased(_ process: ProcessID) -> Bool {
    sent.contains { message, to in
      if case .release = message { to == process } else { false }
    }
  }

  func wasFenced(_ process: ProcessID) -> Bool { effects.contains(.fence(process)) }

  func index(of effect: Effect) -> Int? { effects.firstIndex(of: effect) }
}
