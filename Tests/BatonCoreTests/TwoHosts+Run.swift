import BatonCore
import BatonWire

extension TwoHosts {
  /// One thing that can happen now.
  private enum Step {
    case ask
    case toRegistry(Side)
    case toVMM(Side)
    case toTarget
    case toSource
    case connect(Side)
    case seeDeath(Side)
    case settle(Side)
    case noticeLink
    case sendFinish(succeeds: Bool)
    case wrongReceipt
    case fault(Fault, Side)
  }

  private var steps: [Step] {
    var steps: [Step] = []
    if !isMigrationAsked { steps.append(.ask) }
    for side in Side.allCases {
      guard let host = hosts[side] else { continue }
      // Of a connection whose first record waits nothing more is read.
      if !host.toRegistry.isEmpty, host.held == nil { steps.append(.toRegistry(side)) }
      if !host.toVMM.isEmpty, host.vmmIsAlive { steps.append(.toVMM(side)) }
      if !host.isConnected, host.vmmIsAlive, wantsConnection(side) { steps.append(.connect(side)) }
      if !host.vmmIsAlive, !host.deathIsSeen, host.toRegistry.isEmpty { steps.append(.seeDeath(side)) }
      if host.registry.isSettling, host.toRegistry.isEmpty || host.held != nil,
        host.isConnected || !host.vmmIsAlive || !wantsConnection(side)
      {
        steps.append(.settle(side))
      }
    }
    if linkIsUp {
      if !toTarget.isEmpty { steps.append(.toTarget) }
      if !toSource.isEmpty { steps.append(.toSource) }
    } else {
      steps.append(.noticeLink)
    }
    if case .departing(let departure) = sourceState, departure.departing.step == .permitted {
      steps.append(.sendFinish(succeeds: true))
    }
    return steps
  }

  /// What can go wrong now.
  private var faults: [Step] {
    guard faultsLeft > 0, isMigrationAsked else { return [] }
    var faults = Side.allCases.flatMap { side in Fault.allCases.map { Step.fault($0, side) } }
    if case .departing(let departure) = sourceState, departure.departing.step == .permitted {
      faults.append(.sendFinish(succeeds: false))
    }
    if case .arriving(let arrival) = targetState, arrival.arriving.isArrived { faults.append(.wrongReceipt) }
    return faults
  }

  /// Now and then something goes wrong, at no step more likely than at another.
  private mutating func nextStep() -> Step? {
    let useful = steps.filter(isUseful)
    guard !useful.isEmpty else { return nil }
    if Int.random(in: 0..<8, using: &random) == 0, let fault = faults.randomElement(using: &random) {
      return fault
    }
    return useful.randomElement(using: &random)
  }

  private func wantsConnection(_ side: Side) -> Bool {
    switch side {
    case .north:
      switch sourceState {
      case .running, .migrating, .departing: true
      case .departed, .gone: false
      }
    case .south:
      switch targetState {
      case .arriving, .running: true
      case .waiting, .gone: false
      }
    }
  }

  /// Delivers everything that waits between the VMMs and their registries, in one order.
  mutating func deliverOne() -> Bool {
    for side in Side.allCases {
      if hosts[side]?.toRegistry.isEmpty == false, hosts[side]?.held == nil {
        if let event = hosts[side]?.toRegistry.removeFirst() { take(event, side) }
        return true
      }
      if hosts[side]?.toVMM.isEmpty == false {
        if let message = hosts[side]?.toVMM.removeFirst() { obey(message, side) }
        return true
      }
    }
    return false
  }

  private mutating func take(_ step: Step) {
    if trace.count < 400 { trace.append("\(step)") }
    switch step {
    case .ask:
      isMigrationAsked = true
      take(.migrate(start), .north)
    case .toRegistry(let side):
      if let event = hosts[side]?.toRegistry.removeFirst() { take(event, side) }
      if side == .south { sayReadyIfHeard() }
    case .toVMM(let side):
      if let message = hosts[side]?.toVMM.removeFirst() { obey(message, side) }
    case .toTarget: receiveAtTarget(toTarget.removeFirst())
    case .toSource: receiveAtSource(toSource.removeFirst())
    case .connect(let side): connectAgain(side)
    case .seeDeath(let side):
      hosts[side]?.deathIsSeen = true
      if let process = hosts[side]?.process { take(.died(process), side) }
    case .settle(let side):
      settle(side)
      if side == .south { sayReadyIfHeard() }
    case .noticeLink: noticeLink()
    case .sendFinish(let succeeds): sendFinish(succeeds)
    case .wrongReceipt:
      faultsLeft -= 1
      show(wrongReceipt)
    case .fault(let fault, let side): hit(fault, side)
    }
  }

  /// What each VMM does when the other one cannot be reached any more.
  private mutating func noticeLink() {
    toTarget = []
    toSource = []
    switch sourceState {
    case .migrating: stay()
    case .departing(var departure):
      if breakage == .resumeAlone {
        sourceState = .running(epoch: departure.departing.epoch)
      } else if departure.departing.step == .asking {
        _ = departure.stays(.linkLost, "")
        sourceState = .departing(departure)
        say(.north, .stays(start.id, .linkLost))
      }
    case .running, .departed, .gone: break
    }
    // A target that has not arrived gives up; one that has waits for its registry.
    if case .arriving(let arrival) = targetState, !arrival.arriving.isArrived { leave(.south) }
  }

  private mutating func sendFinish(_ succeeds: Bool) {
    guard case .departing(var departure) = sourceState else { return }
    if succeeds {
      _ = departure.sent()
      sourceState = .departing(departure)
      say(.north, .departed(start.id))
    } else {
      faultsLeft -= 1
      _ = departure.stays(.sourceDeclined, "")
      sourceState = .departing(departure)
      say(.north, .stays(start.id, .sourceDeclined))
    }
  }

  private mutating func hit(_ fault: Fault, _ side: Side) {
    faultsLeft -= 1
    faultsSeen.insert(fault)
    switch fault {
    case .kill: kill(side)
    case .crash: crash(side, losingJournal: false)
    case .loseJournal: crash(side, losingJournal: true)
    case .cutRecords:
      hosts[side]?.isConnected = false
      hosts[side]?.toRegistry = []
      hosts[side]?.toVMM = []
      if let process = hosts[side]?.process { take(.disconnected(process), side) }
    case .cutLink: linkIsUp = false
    case .abort:
      if breakage == .guessDeath, let process = hosts[side]?.process {
        take(.died(process), side)
      } else if side == .north {
        take(.abort, side)
      } else if hosts[side]?.journal?.migration?.course == .coming(isArrived: false, isShown: false) {
        // What batond makes of Abort on the target.
        take(.arrivalCancelled(start.id), side)
      }
    }
  }

  // MARK: Checks

  private var sourceRuns: Bool {
    guard hosts[.north]?.vmmIsAlive == true else { return false }
    switch sourceState {
    case .running, .migrating: return true
    case .departing, .departed, .gone: return false
    }
  }

  private var targetRuns: Bool {
    guard hosts[.south]?.vmmIsAlive == true else { return false }
    if case .running = targetState { return true }
    return false
  }

  private func check() throws(Violation) {
    if sourceRuns, targetRuns { throw Violation(text: "two VMMs run the guest", trace: trace) }
    if targetRuns, hosts[.north]?.hasDeparted != true {
      throw Violation(text: "the target runs what was not given up", trace: trace)
    }
    if targetRuns, hosts[.south]?.journal?.migration?.course != .came, hosts[.south]?.hasLostJournal != true {
      throw Violation(text: "the target runs without a verdict", trace: trace)
    }
    if hosts[.south]?.journal?.migration?.course == .came, hosts[.north]?.hasDeparted != true {
      throw Violation(text: "a receipt was taken before the departure", trace: trace)
    }
    if hasReceiptOut, hosts[.north]?.hasDeparted != true {
      throw Violation(text: "the receipt went out before the departure", trace: trace)
    }
  }

  // MARK: A run

  /// Goes on until nothing more can happen, lets operators settle what is open, and looks at what came of it.
  mutating func run() throws(Violation) {
    try goOn()
    faultsLeft = 0
    for _ in 0..<4 {
      askOtherSide()
      try goOn()
    }
    try checkEnd()
  }

  private mutating func goOn() throws(Violation) {
    var left = 2_000
    while let step = nextStep() {
      take(step)
      try check()
      left -= 1
      guard left > 0 else { throw Violation(text: "it does not come to an end", trace: trace) }
    }
  }

  /// A link that both have noticed to be gone is no step any more.
  private func isUseful(_ step: Step) -> Bool {
    guard case .noticeLink = step else { return true }
    if !toTarget.isEmpty || !toSource.isEmpty { return true }
    if case .migrating = sourceState { return true }
    if case .departing(let departure) = sourceState {
      if departure.departing.step == .asking || breakage == .resumeAlone { return true }
    }
    if case .arriving(let arrival) = targetState { return !arrival.arriving.isArrived }
    return false
  }

  /// `batonctl settle` on whichever side has something open.
  private mutating func askOtherSide() {
    guard let north = hosts[.north]?.journal else { return }
    let south = hosts[.south]?.journal
    if north.phase == .departed, let receipt = north.migration?.receipt {
      if south?.phase == .arriving, let lock = Self.lock(of: receipt) {
        trace.append("settle with the receipt")
        take(.receiptShown(start.id, lock: lock), .south)
      }
      if south?.migration?.course == .came {
        trace.append("confirm")
        take(.departureConfirmed(start.id), .north)
      }
    } else if north.stayed.contains(start.id), south?.phase == .arriving {
      trace.append("settle: it stayed")
      take(.arrivalCancelled(start.id), .south)
    }
  }

  private func checkEnd() throws(Violation) {
    let lostJournal = Side.allCases.contains { hosts[$0]?.hasLostJournal == true }
    // Whoever is released with the receipt brings it to the target, and does not come back to its registry.
    let isReceiptWithNobody =
      switch sourceState {
      case .departed, .gone: true
      case .running, .migrating, .departing: false
      }
    // Before the departure only the source's death ends the guest, after it only the target's.
    let hasDeparted = hosts[.north]?.hasDeparted == true
    let isExcused =
      wasSourceKilledBeforeDeparture && !hasDeparted || wasTargetKilled && hasDeparted
      || lostJournal && (isReceiptWithNobody || wasTargetKilled)
    guard sourceRuns || targetRuns || isExcused else {
      throw Violation(text: "nobody runs the guest at the end", trace: trace)
    }
    // A registry without its journal does not know any more how a migration ended: then people decide.
    if targetRuns, hosts[.south]?.hasLostJournal != true, hosts[.north]?.journal?.phase == .departed,
      hosts[.north]?.journal?.migration?.receipt != nil
    {
      throw Violation(text: "a departure stays unconfirmed although the guest runs", trace: trace)
    }
    if sourceRuns, hosts[.north]?.hasLostJournal != true, case .arriving = targetState,
      hosts[.south]?.vmmIsAlive == true
    {
      throw Violation(text: "the target waits for what stays", trace: trace)
    }
  }
}
