public import BatonWire

/// All guests of a host: which machine an event belongs to, and how guests begin.
///
/// Pure, like the machines in it.
public struct Registry: Sendable {
  private var machines: [GuestName: GuestMachine] = [:]
  /// Whether the registry found no journal and VMMs still have time to come back with what they know.
  public private(set) var isSettling: Bool

  /// Above every number that a registry before this one can have given out; 0 when none can.
  private let firstNumber: UInt64
  /// The numbers of guests that were forgotten.
  public private(set) var forgotten: ForgottenNumbers

  /// - Parameters:
  ///   - isSettling: Whether the journal was not there at start.
  ///   - numbersFrom: Where handoffs and epochs of guests go on that the lost journal knew: a clock in
  ///     milliseconds that has not stood still since the first registry did, since nobody makes a
  ///     handoff a millisecond. Numbers of guests that begin now are small all the same.
  public init(isSettling: Bool, numbersFrom: UInt64 = 0) {
    self.isSettling = isSettling
    firstNumber = numbersFrom
    forgotten = ForgottenNumbers()
  }

  /// The registry as the journal left it, and what follows for each guest.
  ///
  /// - Parameter held: What else is left of guests in handoff.
  public static func restored(
    _ records: [GuestRecord], forgotten: ForgottenNumbers = ForgottenNumbers(),
    held: [GuestName: GuestMachine.Held] = [:]
  ) -> (Registry, [(GuestName, [Effect])]) {
    var registry = Registry(isSettling: false)
    registry.forgotten = forgotten
    var effects: [(GuestName, [Effect])] = []
    for record in records {
      let (machine, first) = GuestMachine.restored(record, holding: held[record.name])
      registry.machines[record.name] = machine
      effects.append((record.name, first))
    }
    return (registry, effects)
  }

  /// Every guest that was registered and is not forgotten, by name.
  public var guests: [GuestMachine] { machines.values.sorted { $0.record.name < $1.record.name } }

  public subscript(name: GuestName) -> GuestMachine? { machines[name] }

  /// What the journal has to say about all guests, for compaction.
  public var records: [GuestRecord] { guests.map(\.record) }

  /// Whether a first record has to wait until the registry has settled: without a journal, who
  /// wants a guest or its baton is heard after those who say that they own it.
  public func mustWait(_ report: Report, for name: GuestName) -> Bool {
    guard isSettling else { return false }
    switch report {
    case .running, .staged, .tookBack, .standsDeparting: return false
    case .fresh, .attach, .claiming, .received, .refused, .used, .resumed, .offer, .ready, .declined,
      .ended, .described, .park, .departing, .departed, .stays, .confirmed, .standsArriving, .arrived,
      .receipt:
      return true
    }
  }

  /// In which order first records that had to wait are handed in: who may have the guest's context or
  /// its baton before those who only want it, and of these who was to have it next before others.
  public static func rankWhenSettling(_ report: Report) -> Int {
    switch report {
    case .received: 0
    case .claiming: 1
    case .refused: 2
    case .running, .staged, .tookBack, .used, .resumed, .offer, .ready, .declined, .ended, .described,
      .park, .departing, .departed, .stays, .confirmed, .standsDeparting, .standsArriving, .arrived, .receipt:
      3
    case .attach(prepared: 1...): 4
    case .attach, .fresh: 5
    }
  }

  /// The time to come back is over. Held first records are handed in before this call, by
  /// ``rankWhenSettling(_:)``.
  public mutating func settle() -> [(GuestName, [Effect])] {
    isSettling = false
    return machines.keys.sorted().map { name in (name, handle(.settled, for: name)) }
  }

  /// Takes one event for one guest.
  ///
  /// - Returns: effects in their order; a `refuse` when there is nothing to decide about.
  public mutating func handle(_ event: RegistryEvent, for name: GuestName) -> [Effect] {
    if var machine = machines[name], !canBeginAnew(machine, event) {
      // Taken out, so that the machine's storage is not copied while it changes.
      machines[name] = nil
      defer { machines[name] = machine }
      return machine.handle(event)
    }
    guard case .hello(let process, let report, let reads, let manifest, let isAlive, _) = event else {
      return []
    }
    guard isAlive || !isBeginning(report) else { return [.refuse(process, .peerDied)] }
    let before = machines[name]?.record
    // A guest may come back before its old VMM is gone, which still has to go.
    var leftovers = machines[name]?.mustGo ?? []
    let hadToGo = leftovers.remove(process) != nil
    guard let record = firstRecord(name, process, report, manifest, before: before) else {
      return [.refuse(process, refusal(of: report))]
    }
    var machine = GuestMachine(record: record, isSettling: isSettling)
    machine.mustGo = leftovers
    if hadToGo { machine.disarm(.release(process)) }
    let first = machine.begin(process, report, reads: reads, manifest: manifest)
    let rest = isBeginning(report) || isDeparting(report) ? [] : machine.handle(event)
    machines[name] = machine
    return first + rest
  }

  /// Forgets a guest that is lost or ended, as soon as nobody of its last life is left.
  ///
  /// Its numbers are not used again. The journal loses its entries with the next compaction; a registry
  /// that reads them before that only remembers the guest once more.
  ///
  /// - Returns: Whether it is forgotten; false when it is not over, or somebody still has to go.
  public mutating func forget(_ name: GuestName) -> Bool {
    guard let machine = machines[name], isOver(machine) else { return false }
    forgotten.include(machine.record)
    machines[name] = nil
    return true
  }

  /// An ended or lost guest may be started again once nobody of its last life is left.
  private func canBeginAnew(_ machine: GuestMachine, _ event: RegistryEvent) -> Bool {
    guard case .hello(let process, let report, _, _, isAlive: true, _) = event, isBeginning(report) else {
      return false
    }
    if case .standsArriving(let arriving) = report {
      // What is over does not begin again, whatever its VMM has not heard.
      guard machine.record.migration?.id != arriving.id, machine.record.previous?.id != arriving.id else {
        return false
      }
      switch machine.record.phase {
      case .lost, .ended, .departed: return !machine.record.leaving.contains(process)
      case .idle, .staged, .claimed, .rollback, .departing, .arriving: return false
      }
    }
    return isOver(machine)
  }

  private func isOver(_ machine: GuestMachine) -> Bool {
    switch machine.record.phase {
    case .lost, .ended: machine.record.leaving.isEmpty && machine.mustGo.isEmpty
    case .departed:
      machine.leavingMigration == nil && machine.record.leaving.isEmpty && machine.mustGo.isEmpty
    case .idle, .staged, .claimed, .rollback, .departing, .arriving: false
    }
  }

  private func isBeginning(_ report: Report) -> Bool {
    switch report {
    case .fresh, .attach(prepared: 0), .standsArriving: true
    // It has mapped the RAM of a guest that is gone and cannot begin another one.
    case .attach: false
    case .claiming, .received, .refused, .staged, .tookBack, .used, .resumed, .running, .offer, .ready,
      .declined, .ended, .described, .park, .departing, .departed, .stays, .confirmed, .standsDeparting,
      .arrived, .receipt:
      false
    }
  }

  /// Its beginning takes all of its first record up.
  private func isDeparting(_ report: Report) -> Bool {
    if case .standsDeparting = report { return true }
    return false
  }

  private func firstRecord(
    _ name: GuestName, _ process: ProcessID, _ report: Report, _ manifest: Manifest?,
    before: GuestRecord?
  ) -> GuestRecord? {
    guard report.number <= Standing.largestNumber else { return nil }
    var record = GuestRecord(
      name: name, way: manifest?.way ?? .none, owner: process,
      epoch: (before?.epoch ?? forgotten.epoch) + 1, phase: .idle,
      handoff: before?.handoff ?? forgotten.handoff, claimant: nil, stayed: before?.stayed ?? [])
    switch report {
    case .fresh, .attach(prepared: 0): return record
    case .running(let epoch, _):
      // Numbers: which attempts there were is not said.
      record.epoch = epoch
      record.handoff = max(record.handoff, firstNumber)
      return epoch > 0 ? record : nil
    case .tookBack(let handoff):
      // Numbers: in which epoch it was is not said, and only a newer verdict is obeyed.
      record.epoch = max(record.epoch, firstNumber)
      record.handoff = handoff
      record.phase = .rollback
      return record
    case .staged(let handoff, _):
      record.epoch = max(record.epoch, firstNumber)
      record.handoff = handoff
      record.phase = .claimed
      return record
    case .received(let handoff), .claiming(let handoff):
      guard isSettling else { return nil }
      record.epoch = max(record.epoch, firstNumber)
      record.owner = nil
      record.handoff = handoff
      record.phase = .claimed
      record.claimant = process
      return record
    case .refused(let handoff, used: false, returned: .some):
      // All that is left of the guest comes along: it goes on as after the claim (R14, R18).
      guard isSettling, manifest != nil else { return nil }
      record.epoch = max(record.epoch, firstNumber)
      record.owner = nil
      record.handoff = handoff
      record.phase = .claimed
      record.claimant = process
      return record
    case .standsArriving(let arriving):
      record.epoch = max(arriving.epoch, before?.epoch ?? forgotten.epoch)
      record.phase = .arriving
      record.leaving = before?.leaving ?? []
      // Until it has come, it is where it went; its coming confirms nothing before.
      if let before, before.phase == .departed { record.previous = before.migration }
      record.migration = MigrationRecord(
        id: arriving.id, lock: arriving.lock, peer: arriving.peer,
        course: .coming(isArrived: arriving.isArrived, isShown: false))
      return record
    case .standsDeparting(let departing):
      // Numbers: as with one that runs.
      record.epoch = departing.epoch
      record.handoff = max(record.handoff, firstNumber)
      switch departing.step {
      case .asking, .staying:
        // Nobody has its receipt, so nobody runs the guest elsewhere.
        record.epoch += 1
        record.stayed.append(departing.id)
      case .permitted, .sent:
        // Whoever has the receipt was ordered to give the guest up, and waits for what became of that.
        guard let receipt = departing.receipt else { return nil }
        record.phase = departing.step == .sent ? .departed : .departing
        record.leaving = departing.step == .sent ? [process] : []
        record.migration = MigrationRecord(
          id: departing.id, lock: departing.lock, peer: departing.peer,
          course: .leaving(receipt, MigrationRequest(host: departing.peer), isCancelled: false))
      }
      return record
    case .attach, .refused, .used, .resumed, .offer, .ready, .declined, .ended, .described,
      .park, .departing, .departed, .stays, .confirmed, .arrived, .receipt:
      return nil
    }
  }

  private func refusal(of report: Report) -> Refusal {
    switch report {
    case .claiming, .received, .refused: .batonUnknown
    case .fresh, .attach, .staged, .tookBack, .used, .resumed, .running, .offer, .ready, .declined,
      .ended, .described, .park, .departing, .departed, .stays, .confirmed, .standsDeparting,
      .standsArriving, .arrived, .receipt:
      .unknownGuest
    }
  }
}

extension GuestMachine {
  /// A guest's first owner: journalled, and given the verdict to run.
  mutating func begin(
    _ process: ProcessID, _ report: Report, reads: ReadableFormats, manifest: Manifest?
  ) -> [Effect] {
    journal()
    switch report {
    case .fresh, .attach:
      heard.insert(process)
      self.reads[process] = reads
      runDue = true
      note(.ownerRegistered(process, epoch: record.epoch))
      isSettling = false
      advance()
    case .running: note(.ownerRegistered(process, epoch: record.epoch))
    case .standsArriving(let arriving):
      heard.insert(process)
      self.reads[process] = reads
      isSettling = false
      for process in mustGo { arm(.release(process)) }
      note(.arriving(arriving.id, process))
      if arriving.isArrived { arm(.migration) }
      advance()
    case .standsDeparting(let departing):
      note(.ownerRegistered(process, epoch: record.epoch))
      heard.insert(process)
      self.reads[process] = reads
      switch departing.step {
      case .asking, .staying: runDue = true
      case .permitted: arm(.migration)
      case .sent:
        mustGo.insert(process)
        releaseDue.updateValue(nil, forKey: process)
        arm(.release(process))
        arm(.migration)
        note(.departed(departing.id))
      }
      advance()
    case .claiming, .received, .refused, .staged, .tookBack, .used, .resumed, .offer, .ready,
      .declined, .ended, .described, .park, .departing, .departed, .stays, .confirmed, .arrived, .receipt:
      arm(.claim)
    }
    return takeEffects()
  }
}
