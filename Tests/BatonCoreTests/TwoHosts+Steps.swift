import BatonCore
import BatonWire

extension TwoHosts {
  // MARK: Registries

  /// Takes an event and carries out what follows.
  mutating func take(_ event: RegistryEvent, _ side: Side) {
    guard var host = hosts[side], host.isUp, let name = Self.name else { return }
    if case .hello(_, let report, _, _, _, _) = event, host.registry.mustWait(report, for: name) {
      host.held = event
      hosts[side] = host
      return
    }
    let effects = host.registry.handle(event, for: name)
    hosts[side] = host
    carryOut(effects, side)
  }

  mutating func carryOut(_ effects: [Effect], _ side: Side) {
    for effect in effects {
      switch effect {
      case .journal(let record):
        if breakage == .forgetDeparting, record.phase == .departing { continue }
        hosts[side]?.journal = record
        if side == .north, record.phase == .departed { hosts[side]?.hasDeparted = true }
      case .send(let message, let process):
        guard hosts[side]?.process == process, hosts[side]?.isConnected == true else { continue }
        hosts[side]?.toVMM.append(message)
      case .refuse(let process, let refusal):
        guard hosts[side]?.process == process else { continue }
        hosts[side]?.toVMM.append(.refusal(refusal, ""))
      case .fence(let process): if hosts[side]?.process == process { leave(side) }
      case .give, .keepDescriptors, .emptyCustody, .arm, .disarm, .note: break
      }
    }
  }

  /// Dies, and comes back with its journal, or without.
  mutating func crash(_ side: Side, losingJournal: Bool) {
    guard var host = hosts[side] else { return }
    host.toRegistry = []
    host.toVMM = []
    host.isConnected = false
    host.held = nil
    // A journal gets its name when the registry has settled; until then every start finds none.
    if losingJournal || host.registry.isSettling {
      host.journal = nil
      host.hasLostJournal = true
      host.registry = Registry(isSettling: true, numbersFrom: 1_000)
      hosts[side] = host
      return
    }
    let (registry, effects) = Registry.restored([host.journal].compactMap(\.self))
    host.registry = registry
    let isGone = !host.vmmIsAlive
    hosts[side] = host
    for (_, list) in effects { carryOut(list, side) }
    if isGone { take(.died(host.process), side) }
  }

  mutating func settle(_ side: Side) {
    guard var host = hosts[side], host.registry.isSettling else { return }
    if let held = host.held {
      host.held = nil
      hosts[side] = host
      let effects = host.registry.handle(held, for: Self.name ?? host.registry.guests[0].record.name)
      hosts[side]?.registry = host.registry
      carryOut(effects, side)
    }
    let effects = hosts[side]?.registry.settle() ?? []
    for (_, list) in effects { carryOut(list, side) }
  }

  // MARK: VMMs and their registries

  mutating func hello(_ side: Side, _ standing: Standing) {
    guard let host = hosts[side], host.vmmIsAlive else { return }
    hosts[side]?.isConnected = true
    hosts[side]?.toVMM = []
    if side == .south, case .arriving(let arriving) = standing { hasSaidArrivedFirst = arriving.isArrived }
    hosts[side]?.toRegistry = [
      .hello(host.process, Report(standing), reads: Self.reads, manifest: nil, isAlive: true)
    ]
    if side == .south, case .arriving(let arrival) = targetState, let receipt = arrival.receipt {
      show(receipt)
    }
  }

  mutating func say(_ side: Side, _ report: Report) {
    guard let host = hosts[side], host.isConnected, host.vmmIsAlive else { return }
    hosts[side]?.toRegistry.append(.report(host.process, report, isAlive: true))
  }

  mutating func show(_ receipt: DepartureReceipt) {
    let lock = breakage == .takeAnyReceipt ? start.lock : Self.lock(of: receipt)
    if let lock { say(.south, .receipt(start.id, lock: lock)) }
  }

  mutating func connectAgain(_ side: Side) {
    switch side {
    case .north:
      switch sourceState {
      case .running(let epoch), .migrating(let epoch): hello(side, .running(epoch))
      case .departing(let departure): hello(side, departure.standing)
      case .departed, .gone: break
      }
    case .south:
      switch targetState {
      case .arriving(let arrival): hello(side, arrival.standing)
      case .running(let epoch): hello(side, .running(epoch))
      case .waiting, .gone: break
      }
    }
  }

  /// The pidfd says so after everything that was sent has been taken.
  mutating func kill(_ side: Side) {
    guard let host = hosts[side], host.vmmIsAlive else { return }
    switch side {
    case .north:
      // A source that has said, or is about to say, that it stays is heard before its death is seen.
      let isStaying =
        if case .departing(let it) = sourceState { it.departing.step == .staying } else { false }
      if !host.hasDeparted, host.journal?.phase != .departing || isStaying {
        wasSourceKilledBeforeDeparture = true
      }
    case .south: wasTargetKilled = true
    }
    leave(side)
  }

  /// Ends because it was told to, or because there is nothing left to do.
  mutating func leave(_ side: Side) {
    hosts[side]?.vmmIsAlive = false
    switch side {
    case .north: sourceState = .gone
    case .south: targetState = .gone
    }
    linkIsUp = false
  }

  // MARK: Orders

  mutating func obey(_ message: RegistryMessage, _ side: Side) {
    if case .refusal(let refusal, _) = message {
      hosts[side]?.isConnected = false
      hosts[side]?.toVMM = []
      if refusal.endsOwnership { leave(side) }
      return
    }
    if side == .north { obeyAtSource(message) } else { obeyAtTarget(message) }
  }

  private mutating func obeyAtSource(_ message: RegistryMessage) {
    switch (sourceState, message) {
    case (.running(let epoch), .migrate):
      sourceState = .migrating(epoch: epoch)
      if linkIsUp { toTarget = [.preamble(start)] } else { stay() }
    case (.migrating, .cancelMigration): stay()
    case (.running(let epoch), .run(let newer)) where newer >= epoch,
      (.migrating(let epoch), .run(let newer)) where newer >= epoch:
      sourceState = .running(epoch: newer)
      say(.north, .running(newer, firstInstruction: 1))
    case (.running, .cancelMigration(let id)): say(.north, .stays(id, .migrationCancelled))
    case (.gone, .run(let epoch)):
      // The first verdict.
      sourceState = .running(epoch: epoch)
      say(.north, .running(epoch, firstInstruction: 1))
    case (.departing(var departure), _):
      switch departure.take(message) {
      case .sendFinish:
        sourceState = .departing(departure)
        if breakage == .receiptBeforeDeparture, linkIsUp { toTarget.append(.receipt(start.receipt)) }
      case .say(.departed(let id)): say(.north, .departed(id))
      case .say(.stays(let id, let refusal, _)): say(.north, .stays(id, refusal))
      case .run(let epoch):
        sourceState = .running(epoch: epoch)
        say(.north, .running(epoch, firstInstruction: 1))
      case .release:
        let wasSent = departure.departing.step == .sent
        if wasSent, let receipt = departure.departing.receipt {
          sourceState = .departed(receipt)
          hasReceiptOut = true
          if linkIsUp { toTarget.append(.receipt(receipt)) }
        } else {
          leave(.north)
        }
      case .say, nil: sourceState = .departing(departure)
      }
    case (.running, .release), (.migrating, .release), (.gone, .release): leave(.north)
    case (.running, _), (.migrating, _), (.departed, _), (.gone, _): break
    }
  }

  private mutating func obeyAtTarget(_ message: RegistryMessage) {
    if message == .arrivalJournalled(start.id), !hasSaidReady { sayReady() }
    switch targetState {
    case .arriving(var arrival):
      switch arrival.take(message) {
      case .run(let epoch):
        targetState = .running(epoch: epoch)
        say(.south, .running(epoch, firstInstruction: 1))
        if linkIsUp { toSource.append(.running) }
      case .release: leave(.south)
      case nil: targetState = .arriving(arrival)
      }
    case .running(let epoch):
      if case .release = message { leave(.south) }
      if case .run(let newer) = message, newer == epoch {
        say(.south, .running(epoch, firstInstruction: 1))
      }
    case .waiting, .gone: break
    }
  }

  mutating func stay() {
    guard case .migrating(let epoch) = sourceState else { return }
    sourceState = .running(epoch: epoch)
    linkIsUp = false
    say(.north, .stays(start.id, .linkLost))
  }

  // MARK: The link

  mutating func receiveAtTarget(_ message: LinkMessage) {
    switch (targetState, message) {
    case (.waiting, .preamble(let start)):
      let arrival = Arrival(Arriving(id: start.id, lock: start.lock, epoch: 1, peer: "north"))
      targetState = .arriving(arrival)
      hello(.south, arrival.standing)
      toTarget.append(.everything)
    case (.arriving(var arrival), .everything):
      _ = arrival.arrived()
      targetState = .arriving(arrival)
      say(.south, .arrived(start.id))
      if breakage == .readyUnheard { sayReady() }
    case (.arriving(var arrival), .receipt(let receipt)):
      _ = arrival.present(receipt)
      targetState = .arriving(arrival)
      show(receipt)
      if breakage == .runWithoutVerdict { targetState = .running(epoch: 2) }
    case (.waiting, _), (.arriving, _), (.running, _), (.gone, _): break
    }
  }

  /// The target's registry has answered a first record that said that everything is here: only now the source may hear
  /// it.
  mutating func sayReadyIfHeard() {
    guard hasSaidArrivedFirst, case .arriving = targetState, !hasSaidReady, let host = hosts[.south],
      host.isConnected, host.held == nil, host.toRegistry.isEmpty
    else { return }
    let isRefused = host.toVMM.contains { if case .refusal = $0 { true } else { false } }
    if !isRefused { sayReady() }
  }

  private mutating func sayReady() {
    hasSaidReady = true
    if linkIsUp { toSource.append(.ready) }
  }

  mutating func receiveAtSource(_ message: LinkMessage) {
    switch (sourceState, message) {
    case (.migrating(let epoch), .ready):
      sourceState = .departing(
        Departure(id: start.id, lock: start.lock, epoch: epoch, peer: "south"))
      say(.north, .departing(start.id))
    case (.departed, .running): say(.north, .confirmed(start.id))
    case (.running, _), (.migrating, _), (.departing, _), (.departed, _), (.gone, _): break
    }
  }
}
