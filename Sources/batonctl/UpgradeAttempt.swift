import LinuxOS
import RegistryInterface
import Varlink

/// The upgrade of one guest, from the call to the end of its handoff.
final class UpgradeAttempt {
  /// How it went on.
  enum News {
    /// The registry reported a step.
    case reply(UpgradeReply)
    /// Something that people should know.
    case note(String)
    /// What the successor's unit says about itself.
    case status(String)
  }

  let guest: String
  /// The guest before anything was done.
  let before: Guest
  /// How it ended, once it has.
  private(set) var end: UpgradeEnd?
  /// What the registry said last.
  private(set) var lastReply: UpgradeReply?

  private let plan: UpgradePlan
  private var connection: RegistryConnection?
  private var successor: SuccessorProcess?
  private var unit: UnitStart?
  private var news: [News] = []
  /// Why our successor did not start or live, to be told with the cause of the handoff's end.
  private var successorFailure: UnitStart.Failure?
  /// Whether the registry was told so, and has ended the handoff for that.
  private var hasAborted = false
  /// What is known of the end while the unit may still tell more.
  private var held: (how: UpgradeEnd.How, until: UInt64)?
  private var registryWasAway = false
  /// When to ask about the handoff again, after the registry went away.
  private var nextQuestion: UInt64?
  /// Until when a registry that went away may stay silent.
  private var patienceEnd: UInt64 = .max
  private var giveUp: UInt64
  /// Until when the old process may take to go, once the guest has its new owner.
  private var releaseEnd: UInt64 = .max

  /// How long a registry that went away may take to come back.
  private static let patience: UInt64 = 30_000_000_000
  private static let questionInterval: UInt64 = 200_000_000
  private static let release: UInt64 = 15_000_000_000
  /// How long the service manager may take to say what the registry has said already.
  private static let afterword: UInt64 = 1_500_000_000

  init(_ guest: String, plan: UpgradePlan) throws(CommandFailure) {
    self.guest = guest
    self.plan = plan
    let connection = try RegistryConnection(
      path: plan.socketPath, timeoutNanoseconds: plan.timeoutNanoseconds)
    let described: DescribeReply = try connection.ask(
      .describe, DescribeRequest(guest: guest), timeoutNanoseconds: plan.timeoutNanoseconds)
    before = described.guest
    switch plan.starter {
    case .slots(let manager):
      let slot = try SlotChoice.slot(for: described.guest, last: described.handoffs.last)
      try UnitStart.check(slot.unit(of: guest), manager)
      unit = UnitStart(slot.unit(of: guest), manager)
    case .program, .others: break
    }
    try connection.call(
      .upgrade,
      UpgradeRequest(
        guest: guest, deadlineMicroseconds: plan.deadlineMicroseconds,
        ignorePreflight: plan.ignoresPreflight ? true : nil),
      mode: .more)
    self.connection = connection
    giveUp = MonotonicClock.now() &+ (plan.timeoutNanoseconds ?? RegistryConnection.defaultTimeout)
  }

  /// What to wait for.
  var interests: [Poller.Interest] {
    var result: [Poller.Interest] = []
    if let connection { result.append(connection.interest) }
    if let successor { result.append(successor.interest) }
    return result
  }

  /// When to look again even if nothing comes.
  var wakeTime: UInt64 {
    let unitTime = lastReply == nil ? nil : unit?.wakeTime
    return [giveUp, patienceEnd, releaseEnd, nextQuestion, unitTime, held?.until].compactMap(\.self).min()
      ?? .max
  }

  /// Does what can be done without waiting.
  ///
  /// - Returns: What happened since the last call.
  func step() -> [News] {
    news = []
    do throws(CommandFailure) {
      try follow()
      try watchSuccessor()
      watchUnit()
      try askAgain()
    } catch {
      finish(.failed(error))
    }
    let now = MonotonicClock.now()
    if now >= giveUp { finish(.failed(timedOut)) }
    if now >= releaseEnd {
      finish(.failed(notFollowed("the guest has its new owner, but the old process is not known to be gone")))
    }
    if now >= patienceEnd {
      finish(.failed(notFollowed("the registry went away and does not know the handoff's end")))
    }
    if let held, now >= held.until || unit?.isOver != false {
      end = UpgradeEnd(
        guest: guest, before: before, how: held.how, successorFailure: successorFailure,
        lastOwner: lastReply?.guest.owner, registryWasAway: registryWasAway)
      self.held = nil
    }
    return news
  }

  // MARK: The registry

  private func follow() throws(CommandFailure) {
    guard held == nil, let connection else { return }
    do throws(CommandFailure) {
      try connection.exchange()
      while held == nil, let reply = try connection.nextReply() {
        try take(try RegistryConnection.decode(reply), isLast: !reply.continues)
      }
    } catch {
      // The registry comes back with its journal; the handoff goes on without this connection.
      let isGone = error.status == .registryUnreachable || error == CommandFailure(RegistryError.stopping)
      guard isGone, lastReply != nil else { throw afterRecording(error) }
      self.connection = nil
      registryWasAway = true
      let now = MonotonicClock.now()
      nextQuestion = now &+ Self.questionInterval
      patienceEnd = now &+ Self.patience
      news.append(.note("the registry went away; asking again until it is back"))
    }
  }

  /// What an error reply means once the intent was recorded: no successor came. Where the guest stands the
  /// registry is asked.
  private func afterRecording(_ failure: CommandFailure) -> CommandFailure {
    guard let known = lastReply?.guest else { return failure }
    switch failure.status {
    case .failure, .guestAtSource, .guestWaits: break
    case .success, .guestLost, .registryUnreachable, .notAllowed, .unknownGuest, .preflightFailed,
      .handoffInProgress, .outcomeUnknown, .guestEnded, .nothingToAbort, .usage:
      return failure
    }
    let reply: DescribeReply? = try? ask(.describe, DescribeRequest(guest: guest))
    let guest = reply?.guest ?? known
    if hasAborted, let successorFailure { return noSuccessor(successorFailure, guest) }
    var failure = failure
    if let alarm = guest.alarm { failure.remedy = "run: \(alarm.command)" }
    failure.status = CommandStatus(failedWith: guest)
    failure.guestState = Self.clause(failure.status, guest)
    return failure
  }

  /// The handoff did not come about because the successor did not.
  private func noSuccessor(_ failure: UnitStart.Failure, _ guest: Guest) -> CommandFailure {
    let status = CommandStatus(failedWith: guest)
    return CommandFailure(
      "no successor came", cause: failure.cause, guestState: Self.clause(status, guest),
      remedy: guest.alarm.map { "run: \($0.command)" } ?? failure.remedy,
      status: status == .guestAtSource ? failure.status ?? status : status)
  }

  private static func clause(_ status: CommandStatus, _ guest: Guest) -> String {
    status == .guestAtSource ? "the guest still runs at the source" : guest.state.clause
  }

  private func take(_ reply: UpgradeReply, isLast: Bool) throws(CommandFailure) {
    // Once the registry has answered, its own deadlines end the handoff.
    if lastReply == nil && plan.timeoutNanoseconds == nil { giveUp = .max }
    lastReply = reply
    news.append(.reply(reply))
    if releaseEnd == .max, let owner = reply.guest.owner, owner.processId != before.owner?.processId {
      releaseEnd = MonotonicClock.now() &+ Self.release
    }
    switch reply.step {
    case .recorded: startSuccessor()
    case .phaseStarted, .phaseEnded: break
    case .finished:
      guard let handoff = reply.handoff else {
        throw notFollowed("the registry's last answer does not tell the handoff")
      }
      finish(.ended(handoff, reply.guest))
      return
    }
    if isLast { throw notFollowed("the registry's answers ended too early") }
  }

  /// Asks for the handoff's end after the connection was lost. VMMs need a moment to present themselves to a
  /// registry that is back, so a guest that it does not know is asked for again; and a successor that had not
  /// attached yet is the first that such a registry hears of this upgrade.
  private func askAgain() throws(CommandFailure) {
    guard held == nil, let time = nextQuestion, let number = lastReply?.number else { return }
    guard MonotonicClock.now() >= time else { return }
    defer { nextQuestion = held == nil ? MonotonicClock.now() &+ Self.questionInterval : nil }
    let reply: DescribeReply
    do throws(CommandFailure) {
      let connection = try RegistryConnection(path: plan.socketPath, timeoutNanoseconds: 100_000_000)
      reply = try connection.ask(.describe, DescribeRequest(guest: guest), timeoutNanoseconds: 1_000_000_000)
    } catch {
      guard error.status == .registryUnreachable || error.status == .unknownGuest else {
        throw notFollowed("\(error.whatFailed): \(error.cause)")
      }
      return
    }
    let now = MonotonicClock.now()
    guard let handoff = reply.handoffs.last, handoff.number >= number else {
      if reply.guest.epoch != before.epoch {
        throw notFollowed("the registry went away and does not remember the handoff")
      }
      // Without a successor there will be no handoff.
      if let successorFailure { throw noSuccessor(successorFailure, reply.guest) }
      return
    }
    switch handoff.outcome {
    case .inProgress: patienceEnd = now &+ Self.patience
    case .committed, .lost, .ended: finish(.ended(handoff, reply.guest))
    case .takenBack, .aborted:
      // Whoever was cut off from the registry before it was the owner may come again.
      if unit?.isOver != false { finish(.ended(handoff, reply.guest)) }
    }
  }

  /// Tells the registry that no successor will come. It decides what that means for the guest.
  private func abort(_ failure: UnitStart.Failure) {
    successorFailure = failure
    // What has ended needs no abort.
    guard held == nil else { return }
    let known: DescribeReply? = try? ask(.describe, DescribeRequest(guest: guest))
    if let guest = known?.guest, guest.state == .waiting {
      // Nor does a guest in custody: it goes on waiting.
      finish(.failed(noSuccessor(failure, guest)))
      return
    }
    do throws(CommandFailure) {
      let _: AbortReply = try ask(.abort, AbortRequest(guest: guest, handoff: lastReply?.number))
      hasAborted = true
    } catch {
      // The registry's own deadline ends the handoff, or it has ended already; either way it tells us.
      switch error.status {
      case .nothingToAbort, .guestLost, .guestEnded, .unknownGuest: break
      case .success, .failure, .guestAtSource, .guestWaits, .registryUnreachable, .notAllowed,
        .preflightFailed, .handoffInProgress, .outcomeUnknown, .usage:
        news.append(.note(error.line(verb: "abort", guest: guest)))
      }
    }
  }

  /// Makes one call beside the one that is followed.
  private func ask<Reply: Decodable>(
    _ method: RegistryMethod, _ parameters: some Encodable
  ) throws(CommandFailure) -> Reply {
    let limit: UInt64 = 2_000_000_000
    let connection = try RegistryConnection(path: plan.socketPath, timeoutNanoseconds: limit)
    return try connection.ask(method, parameters, timeoutNanoseconds: limit)
  }

  // MARK: The successor

  private func startSuccessor() {
    switch plan.starter {
    case .slots: watchUnit()
    case .others: news.append(.note("recorded; start its successor now"))
    case .program(let program, let log):
      do throws(SystemError) {
        successor = try SuccessorProcess(
          arguments: program.map { UpgradePlan.fill($0, guest) }, log: UpgradePlan.fill(log, guest))
      } catch {
        abort(.init(cause: "the successor was not started: \(error)", remedy: nil, status: nil))
      }
    }
  }

  private func watchSuccessor() throws(CommandFailure) {
    guard let successor, let failure = successor.failureIfEnded() else { return }
    self.successor = nil
    guard held == nil, let failure else { return }
    abort(.init(cause: "the successor \(failure)", remedy: nil, status: nil))
  }

  /// The unit is started once the intent is recorded, and heard until its job has ended.
  private func watchUnit() {
    guard lastReply != nil, let unit, !unit.isOver else { return }
    let (notes, failure) = unit.step()
    if !notes.isEmpty { news.append(.status(notes.joined(separator: "; "))) }
    if let failure { abort(failure) }
  }

  // MARK: The end

  private var timedOut: CommandFailure {
    if lastReply != nil { return notFollowed("the time of --timeout is over") }
    return CommandFailure(
      "no answer", cause: "the registry was silent for too long",
      guestState: "no successor was started, the guest is where it was",
      remedy: "look at batond's log, or raise --timeout", status: .outcomeUnknown)
  }

  private func notFollowed(_ cause: String) -> CommandFailure {
    CommandFailure(
      "handoff is not followed any more", cause: cause,
      guestState: lastReply == nil ? nil : "the handoff may still be under way",
      remedy: "see batonctl show \(guest)", status: .outcomeUnknown)
  }

  private func finish(_ how: UpgradeEnd.How) {
    guard held == nil, end == nil else { return }
    let now = MonotonicClock.now()
    let isFollowed = lastReply != nil && unit?.isOver == false
    held = (how, isFollowed ? now &+ Self.afterword : now)
    connection = nil
    nextQuestion = nil
    giveUp = .max
    patienceEnd = .max
    releaseEnd = .max
  }
}
