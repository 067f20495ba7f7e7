import BatonCore
import BatonWire
import RegistryInterface

/// Something in the life of a guest that operators may follow.
struct TimelineEvent {
  let kind: EventKind
  let guest: GuestName
  var handoff: Handoff?
  var phase: Phase?
  /// The guest as it was, if it is not known any more.
  var last: Guest?
  /// The migration, if it is about one.
  var migration: Migration?
}

/// The handoffs of one guest, each with its phases, made from what the machine notes.
///
/// All moments are `CLOCK_MONOTONIC` in nanoseconds.
struct Timeline {
  /// How many handoffs of a guest are remembered.
  static let limit = 32

  let guest: GuestName
  private(set) var history: [Attempt] = []
  /// When the successor, or an operator who wants one, was first heard of.
  private(set) var attachBegan: UInt64?
  private(set) var events: [TimelineEvent] = []

  /// One handoff and what is needed to go on writing it.
  struct Attempt {
    var handoff: Handoff
    let began: UInt64
    let source: ProcessID
    var successor: ProcessID?
    var phaseBegan: UInt64?
    var ended: UInt64?
    var lastInstruction: UInt64 = 0
    var frozen: UInt64?
    var committed: UInt64?
    var isStaged = false
    var isRunConfirmed = false
    var isSourceGone = false
    /// Nothing more will be written.
    var isSettled = false
  }

  init(guest: GuestName) { self.guest = guest }

  /// The handoff under way.
  var current: Attempt? {
    guard let last = history.last, last.handoff.outcome == .inProgress else { return nil }
    return last
  }

  /// The handoff that was settled last.
  var lastSettled: Attempt? { history.last { $0.handoff.outcome != .inProgress } }

  mutating func takeEvents() -> [TimelineEvent] {
    defer { events = [] }
    return events
  }

  mutating func attachBegins(at moment: UInt64) {
    if attachBegan == nil { attachBegan = moment }
  }

  mutating func forgetAttach() { attachBegan = nil }

  // MARK: Course

  /// - Parameter wallTime: `CLOCK_REALTIME` at `moment`, nanoseconds.
  mutating func begin(
    number: UInt64, way: RegistryInterface.Way, epoch: UInt64, source: (ProcessID, VMMProcess),
    successor: (ProcessID, VMMProcess)?, at moment: UInt64, wallTime: UInt64
  ) {
    let began = min(attachBegan ?? moment, moment)
    let isAwaited = successor != nil || attachBegan != nil
    adopt(
      number: number, way: way, epoch: epoch, source: source, successor: successor, began: began, at: moment,
      wallTime: wallTime)
    if successor == nil { changeLast { $0.handoff.parked = true } }
    if isAwaited { enter(.attach, at: began, limit: nil) }
  }

  /// Takes up a handoff that a registry before this one had begun; its phases up to now are not known.
  ///
  /// - Parameters:
  ///   - began: From when on it is known, at most `moment`.
  ///   - wallTime: `CLOCK_REALTIME` at `moment`, nanoseconds.
  mutating func adopt(
    number: UInt64, way: RegistryInterface.Way, epoch: UInt64, source: (ProcessID, VMMProcess),
    successor: (ProcessID, VMMProcess)?, began: UInt64, at moment: UInt64, wallTime: UInt64
  ) {
    attachBegan = nil
    var handoff = Handoff(
      number: number, guest: guest.text, way: way, epochBefore: epoch, source: source.1,
      startedRealtimeMicroseconds: (wallTime - min(wallTime, moment - began)) / 1000)
    handoff.successor = successor?.1
    history.append(
      Attempt(handoff: handoff, began: began, source: source.0, successor: successor?.0))
    if history.count > Self.limit { history.removeFirst() }
    events.append(event(.handoffStarted, index: history.count - 1))
  }

  /// What a source that presents itself again says about the phases that nobody saw.
  ///
  /// - Parameter next: The phase that lasts now.
  mutating func presented(_ stage: Stage, at moment: UInt64, next: PhaseName, limit: UInt64?) {
    enter(.freeze, at: stage.freezeStarted, limit: nil)
    enter(.stage, at: min(max(stage.contextSent, stage.freezeStarted), moment), limit: nil)
    enter(next, at: moment, limit: limit)
    changeLast {
      $0.frozen = stage.freezeStarted
      $0.lastInstruction = stage.lastInstruction
      $0.isStaged = true
    }
  }

  /// Ends the phase that lasts and begins the next one.
  mutating func enter(_ phase: PhaseName, at moment: UInt64, limit: UInt64?) {
    guard let index = history.indices.last, !history[index].isSettled else { return }
    let attempt = history[index]
    // A note's moment may lie before the end of what a restarted registry was told by the source.
    let ended = attempt.handoff.phases.last.map {
      attempt.began + ($0.startMicroseconds + ($0.durationMicroseconds ?? 0)) * 1000
    }
    let start = max(moment, attempt.phaseBegan ?? attempt.began, ended ?? 0)
    leave(at: start)
    history[index].phaseBegan = start
    history[index].handoff.phases.append(
      Phase(name: phase, startMicroseconds: (start - attempt.began) / 1000, limitMicroseconds: limit))
    events.append(event(.phaseStarted, index: index, phase: history[index].handoff.phases.last))
  }

  /// Ends the phase that lasts.
  mutating func leave(at moment: UInt64) {
    guard let index = history.indices.last, let began = history[index].phaseBegan,
      let phase = history[index].handoff.phases.indices.last
    else { return }
    history[index].phaseBegan = nil
    history[index].handoff.phases[phase].durationMicroseconds = (max(moment, began) - began) / 1000
    events.append(event(.phaseEnded, index: index, phase: history[index].handoff.phases[phase]))
  }

  mutating func changeLast(_ change: (inout Attempt) -> Void) {
    guard let index = history.indices.last, !history[index].isSettled else { return }
    change(&history[index])
  }

  /// The way is known for sure only when the offer came.
  mutating func setWay(_ way: RegistryInterface.Way) { changeLast { $0.handoff.way = way } }

  /// The source stopped the guest, ordered now.
  mutating func frozen(at moment: UInt64, limit: UInt64) {
    guard current?.frozen == nil else { return }
    enter(.freeze, at: moment, limit: limit)
    changeLast { $0.frozen = moment }
  }

  /// The source has staged. Without a successor the guest is parked, and waits for one to attach.
  ///
  /// - Parameter sent: When the state was on its way to the registry.
  mutating func staged(_ stage: Stage, sent: UInt64, at moment: UInt64, limit: UInt64) {
    enter(.stage, at: sent, limit: nil)
    let isParked = current?.successor == nil
    changeLast {
      $0.lastInstruction = stage.lastInstruction
      $0.isStaged = true
    }
    if isParked { enter(.attach, at: moment, limit: nil) } else { enter(.claim, at: moment, limit: limit) }
  }

  /// A next successor has what the source had offered.
  mutating func offeredAgain(to successor: (ProcessID, VMMProcess), at moment: UInt64, limit: UInt64) {
    enter(.ready, at: moment, limit: limit)
    changeLast {
      $0.successor = successor.0
      $0.handoff.successor = successor.1
    }
  }

  mutating func committed(epoch: UInt64, at moment: UInt64) {
    attachBegan = nil
    changeLast {
      $0.handoff.outcome = .committed
      $0.handoff.epochAfter = epoch
      $0.committed = moment
    }
  }

  mutating func takenBack(epoch: UInt64, at moment: UInt64) {
    changeLast {
      $0.handoff.outcome = .takenBack
      $0.handoff.epochAfter = epoch
    }
  }

  /// The owner runs the guest: the blackout is over.
  ///
  /// - Parameters:
  ///   - first: The guest's first instruction, 0 if unknown.
  ///   - arrival: When the owner's word came.
  mutating func running(first: UInt64, arrival: UInt64) {
    guard let last = history.last, !last.isSettled, !last.isRunConfirmed,
      last.handoff.outcome == .committed || last.handoff.outcome == .takenBack
    else { return }
    let moment = first > 0 && first <= arrival ? first : arrival
    leave(at: moment)
    changeLast {
      $0.isRunConfirmed = true
      if first > 0, $0.lastInstruction > 0, first >= $0.lastInstruction {
        $0.handoff.blackoutMicroseconds = (first - $0.lastInstruction) / 1000
      } else if let frozen = $0.frozen {
        $0.handoff.blackoutMicroseconds = (moment - min(moment, frozen)) / 1000
      }
    }
    settleIfOver(at: arrival)
  }

  /// Somebody of this handoff has ended.
  mutating func died(_ process: ProcessID, at moment: UInt64) {
    guard let last = history.last, !last.isSettled else { return }
    switch last.handoff.outcome {
    case .committed:
      if process == last.source { changeLast { $0.isSourceGone = true } }
      if process == last.successor { changeLast { $0.isRunConfirmed = true } }
      settleIfOver(at: moment)
    case .takenBack:
      if process == last.source { settle(.takenBack, at: moment) }
    case .inProgress:
      // Custody may still bring the guest to a successor, which then has nobody to wait for.
      if process == last.source { changeLast { $0.isSourceGone = true } }
    case .aborted, .lost, .ended: break
    }
  }

  /// The source was told to go and did not in time; the handoff's report does not wait for it any longer.
  mutating func sourceOverdue(_ process: ProcessID, at moment: UInt64) {
    guard let last = history.last, !last.isSettled, last.handoff.outcome == .committed, process == last.source
    else { return }
    settle(.committed, at: moment)
  }

  private mutating func settleIfOver(at moment: UInt64) {
    guard let last = history.last, last.isRunConfirmed else { return }
    switch last.handoff.outcome {
    case .committed:
      guard last.isSourceGone else { return }
      settle(.committed, at: moment)
    case .takenBack: settle(.takenBack, at: moment)
    case .inProgress, .aborted, .lost, .ended: break
    }
  }

  /// The handoff is over.
  mutating func settle(_ outcome: Outcome, at moment: UInt64) {
    guard let index = history.indices.last, !history[index].isSettled else { return }
    leave(at: moment)
    if let committed = history[index].committed {
      let start = (max(committed, history[index].began) - history[index].began) / 1000
      history[index].handoff.phases.append(
        Phase(
          name: .release, startMicroseconds: start,
          durationMicroseconds: (max(moment, committed) - committed) / 1000))
      events.append(event(.phaseEnded, index: index, phase: history[index].handoff.phases.last))
    }
    history[index].handoff.outcome = outcome
    history[index].ended = moment
    history[index].isSettled = true
    history[index].handoff.durationMicroseconds =
      (max(moment, history[index].began) - history[index].began) / 1000
    events.append(event(.handoffEnded, index: index))
  }

  /// An aborted attempt whose source had staged after all goes on as one that is taken back, and one that was
  /// given back to a source that had not heard of it is taken back once more.
  mutating func reopen(_ number: UInt64) {
    guard let index = history.indices.last, history[index].handoff.number == number else { return }
    switch history[index].handoff.outcome {
    case .aborted: break
    case .takenBack:
      guard !history[index].isRunConfirmed else { return }
      if history[index].handoff.phases.last?.name == .run {
        history[index].handoff.phases.removeLast()
        history[index].phaseBegan = nil
      }
    case .inProgress, .committed, .lost, .ended: return
    }
    history[index].isSettled = false
    history[index].ended = nil
    history[index].handoff.outcome = .inProgress
  }

  /// The handoff as it is at a moment.
  func view(_ attempt: Attempt, at moment: UInt64) -> Handoff {
    var handoff = attempt.handoff
    handoff.durationMicroseconds = (max(attempt.ended ?? moment, attempt.began) - attempt.began) / 1000
    return handoff
  }

  private func event(_ kind: EventKind, index: Int, phase: Phase? = nil) -> TimelineEvent {
    TimelineEvent(kind: kind, guest: guest, handoff: history[index].handoff, phase: phase)
  }
}
