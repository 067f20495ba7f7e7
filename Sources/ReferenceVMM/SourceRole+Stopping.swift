import Baton
import LinuxOS
import Systemd

extension SourceRole {
  /// A signal to stop came: what it means is found out now.
  func takeUp(_ request: SignalQueue.Request) {
    let now = MonotonicClock.now()
    let unit: String? =
      switch request {
      case .terminate: OwnUnit.name()
      case .interrupt, .report: nil
      }
    let question = unit.map { UnitQuestion.ask(about: $0) }
    let intent = StopIntent.decide(question?.answer)
    log.event("stopping", [("parks", .number(intent == .park ? 1 : 0))], at: now)
    stop = StopPlan(intent, now: now, stopNanoseconds: question?.stopNanoseconds)
    guard intent == .park else {
      if let attempt, intent != .end(.signal) {
        log.say(.notice, "SIGTERM while handoff \(attempt) is under way: its end is waited for")
      }
      return
    }
    if question?.answer == .startTookTooLong {
      log.say(
        .warning,
        "the start took too long and the service manager ends this unit: the registry is asked to keep the guest, "
          + "then bring it back with batonctl upgrade \(instance.options.guest)")
    } else {
      log.say(.notice, "the unit is restarted: the registry is asked to keep the guest for the next VMM")
    }
    log.status(.parking)
    // A guest that stands still must not be killed because the registry comes back a little later.
    if patience == nil { patience = try? TimeoutExtension(limit: Self.longestPatience) }
  }

  /// Goes on with stopping.
  ///
  /// - Returns: Why the guest is to end now, or nil when it is to go on for the moment.
  func advance(_ plan: StopPlan, _ running: inout RunningGuest) throws -> StopIntent.Reason? {
    let now = MonotonicClock.now()
    switch plan.intent {
    case .end(let reason):
      // A guest that is being handed over is not ended under the hands of its successor.
      guard let attempt, reason != .signal, now < plan.deadline else { return reason }
      log.status(.waitingForAttempt(handoff: attempt))
      return nil
    case .park:
      guard now < plan.deadline else { return .notParked(why: plan.obstacle) }
      guard isQuestionDue(plan, now, isConnected: running.descriptor >= 0) else { return nil }
      // Somebody may want it stopped by now, for which there is no second signal.
      if plan.wasAsked, let unit = OwnUnit.name(),
        case .end(.job(let what)) = StopIntent.decide(UnitQuestion.ask(about: unit).answer)
      {
        return .job(what)
      }
      stop?.nextQuestion = nil
      stop?.wasAsked = true
      // The next process starts only when this one is gone with its page tables, for which the guest would have to
      // stand still. Now it runs, and gets back what it uses. Where that is refused it only takes longer.
      try? instance.mapping.unpopulate()
      log.event("parking")
      running.park()
      return nil
    }
  }

  private func isQuestionDue(_ plan: StopPlan, _ now: UInt64, isConnected: Bool) -> Bool {
    guard attempt == nil, isConnected, let next = plan.nextQuestion else { return false }
    return now >= next
  }

  /// How long to wait for something to happen, in nanoseconds; nil for ever.
  func waitingTime(isConnected: Bool) -> UInt64? {
    var times: [UInt64] = isConnected ? [] : [50_000_000]
    if let stop {
      let now = MonotonicClock.now()
      times.append(stop.deadline > now ? stop.deadline - now : 0)
      if attempt == nil, isConnected, let next = stop.nextQuestion {
        times.append(next > now ? next - now : 0)
      }
    }
    return times.min()
  }

  /// For how long a service manager is asked for more time while a guest is parked, in nanoseconds.
  private static let longestPatience: UInt64 = 600_000_000_000
}
