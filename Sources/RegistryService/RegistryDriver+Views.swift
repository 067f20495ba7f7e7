import BatonCore
import BatonWire
import LinuxOS
import RegistryInterface
import Systemd

/// Guests as operators see them.
extension RegistryDriver {
  /// A process by what is known of it.
  func view(_ id: ProcessID) -> VMMProcess {
    guard let process = processes[id] else { return departed[id] ?? VMMProcess(processId: id.pid, userId: 0) }
    return VMMProcess(
      processId: id.pid, userId: process.user, buildId: process.build, unit: process.unit)
  }

  /// A guest, or nil when there is none of that name.
  func view(_ name: GuestName) -> Guest? {
    guard let machine = registry[name] else { return nil }
    let context = guests[name]
    let record = machine.record
    let state = state(of: machine)
    var guest = Guest(
      name: name.text, state: state, way: .init(record.way), epoch: record.epoch,
      owner: hasLivingOwner(state) ? record.owner.map { view($0) } : nil,
      memoryBytes: context?.manifest?.ramByteCount ?? 0,
      vcpuCount: (context?.manifest?.vcpuCount).map { UInt32($0) })
    if let current = context?.timeline.current {
      guest.handoff = current.handoff.number
      if current.phaseBegan != nil, state != .waiting { guest.phase = current.handoff.phases.last?.name }
    } else if isInHandoff(machine) {
      guest.handoff = record.handoff
    }
    guest.deadlineMicroseconds = countdown(machine, context)
    if let last = context?.timeline.lastSettled {
      guest.lastHandoff = last.handoff.number
      guest.lastOutcome = last.handoff.outcome
      guest.lastBlackoutMicroseconds = last.handoff.blackoutMicroseconds
    }
    guest.alarm =
      (silence(machine) == context?.silence ? context?.alarm : nil) ?? waitingAlarm(machine, context)
    addSlots(to: &guest, machine, context)
    guest.migration = migrationView(machine)
    return guest
  }

  /// Where its VMMs live, since when it waits, and how it ended.
  private func addSlots(to guest: inout Guest, _ machine: GuestMachine, _ context: GuestContext?) {
    guard let context else { return }
    switch machine.record.phase {
    case .departed: break
    case .idle, .staged, .claimed, .rollback, .departing, .arriving:
      guest.slot = context.ownerSlot
      guest.barredSlots = context.barred.bars.isEmpty ? nil : context.barred.bars
      guest.waitingSinceRealtimeMicroseconds = context.waitingSince
    case .lost, .ended:
      guest.endSentence = context.end?.sentence
      guest.endedRealtimeMicroseconds = context.end?.wallTime
    }
  }

  /// Of what is left of a guest the process that owned it is no part.
  private func hasLivingOwner(_ state: GuestState) -> Bool {
    switch state {
    case .running, .preparing, .frozen, .staged, .claimed, .takingBack, .departing, .arriving: true
    case .waiting, .lost, .ended, .departed: false
    }
  }

  /// All guests, by name.
  func viewAll() -> [Guest] { registry.guests.compactMap { view($0.record.name) } }

  /// The handoffs of a guest that are remembered, oldest first.
  func handoffs(of name: GuestName) -> [Handoff] {
    guard let timeline = guests[name]?.timeline else { return [] }
    let now = MonotonicClock.now()
    return timeline.history.map { timeline.view($0, at: now) }
  }

  func isInHandoff(_ machine: GuestMachine) -> Bool {
    switch machine.record.phase {
    case .idle: machine.step != .none
    case .staged, .claimed, .rollback: true
    case .lost, .ended, .departing, .departed, .arriving: false
    }
  }

  func state(of machine: GuestMachine) -> GuestState {
    switch machine.record.phase {
    case .idle:
      switch machine.step {
      case .none: .running
      case .preparing, .offered, .aborting: .preparing
      case .freezing: .frozen
      }
    case .staged: isOwnerAlive(machine) ? .staged : .waiting
    case .claimed: .claimed
    case .rollback: .takingBack
    case .lost: .lost
    case .ended: .ended
    case .departing: .departing
    case .departed: .departed
    case .arriving: .arriving
    }
  }

  func isOwnerAlive(_ machine: GuestMachine) -> Bool { machine.record.owner.map { isAlive($0) } ?? false }

  func isAlive(_ process: ProcessID) -> Bool { processes[process]?.isAlive ?? false }

  /// What is left of the deadline of the present phase, in microseconds.
  private func countdown(_ machine: GuestMachine, _ context: GuestContext?) -> Int64? {
    guard isInHandoff(machine), let deadlines = context?.deadlines else { return nil }
    let now = MonotonicClock.now()
    for deadline in [Deadline.freeze, .claim, .takeBack, .prepare] {
      guard let armed = deadlines[deadline] else { continue }
      return armed.expires >= now ? Int64((armed.expires - now) / 1000) : -Int64((now - armed.expires) / 1000)
    }
    return nil
  }

  /// A guest in custody that nobody owns waits for an operator's next successor.
  func isWaiting(_ machine: GuestMachine) -> Bool {
    machine.candidate == nil && state(of: machine) == .waiting
  }

  /// Counters with the levels of now.
  func countersNow(since start: UInt64) -> Counters {
    var counters = metrics.counters
    let uptime = (MonotonicClock.now() - start) / 1000
    counters.uptimeMicroseconds = uptime
    counters.startedRealtimeMicroseconds = MonotonicClock.wallTime() / 1000 - uptime
    counters.guests = UInt64(registry.guests.count)
    counters.guestsInHandoff = UInt64(registry.guests.count { isInHandoff($0) })
    counters.alarms = UInt64(guests.values.count { $0.alarm != nil || $0.isWaitTold })
    counters.custodyDescriptors = UInt64(guests.values.reduce(0) { $0 + $1.custody.count })
    counters.journalBytes = UInt64(journal.committed)
    counters.journalCompactions = journal.compactions
    counters.journalCapacityBytes = UInt64(journal.capacity)
    counters.residentBytes = ThisProcess.residentByteCount
    counters.storeDescriptors = custodyStore.map { UInt64($0.capacity - $0.free) }
    counters.storeCapacity = custodyStore.map { UInt64($0.capacity) }
    var states = Dictionary(uniqueKeysWithValues: GuestState.allCases.map { ($0.rawValue, UInt64(0)) })
    for machine in registry.guests { states[state(of: machine).rawValue, default: 0] += 1 }
    counters.guestsByState = states
    counters.attempts = metrics.attemptViews
    counters.handoffsParked = metrics.handoffsParked
    counters.guestsRegistered = metrics.guestsRegistered
    counters.guestsEnded = metrics.guestsEnded
    counters.slotsBarred = UInt64(guests.values.reduce(0) { $0 + $1.barred.bars.count })
    counters.slotsBarredTotal = metrics.slotsBarred
    counters.alarmsRaised = metrics.alarmsRaised
    counters.vmmConnectionsTotal = metrics.vmmConnections
    counters.operatorConnectionsTotal = metrics.operatorConnections
    counters.logLinesDropped = log.droppedLines
    counters.migrationsStarted = metrics.migrations.started
    counters.migrationsPlanned = metrics.migrations.planned
    counters.migrationsDeparted = metrics.migrations.departed
    counters.migrationsStayed = metrics.migrations.stayed
    counters.migrationsArriving = metrics.migrations.arriving
    counters.migrationsArrived = metrics.migrations.arrived
    counters.migrationsFailed = metrics.migrations.failed
    return counters
  }
}
