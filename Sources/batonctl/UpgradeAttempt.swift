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
  }

  let guest: String
  /// How it ended, once it has.
  private(set) var end: UpgradeEnd?
  /// What the registry said last.
  private(set) var lastReply: UpgradeReply?

  private let plan: UpgradePlan
  private var connection: RegistryConnection?
  private var successor: SuccessorProcess?
  private var news: [News] = []
  /// Why our successor did not start or live, to be told as the cause of the handoff's end.
  private var successorFailure: String?
  /// When to ask about the handoff again, after the registry went away.
  private var nextQuestion: UInt64?
  /// Until when a registry that went away may stay silent.
  private var patienceEnd: UInt64 = .max
  private var giveUp: UInt64

  /// How long a registry that went away may take to come back.
  private static let patience: UInt64 = 30_000_000_000
  private static let questionInterval: UInt64 = 200_000_000

  init(_ guest: String, plan: UpgradePlan) throws(CommandFailure) {
    self.guest = guest
    self.plan = plan
    let connection = try RegistryConnection(
      path: plan.socketPath, timeoutNanoseconds: plan.timeoutNanoseconds)
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
  var wakeTime: UInt64 { min(giveUp, patienceEnd, nextQuestion ?? .max) }

  /// Does what can be done without waiting.
  ///
  /// - Returns: What happened since the last call.
  func step() -> [News] {
    news = []
    do throws(CommandFailure) {
      try follow()
      try watchSuccessor()
      try askAgain()
    } catch {
      finish(.failed(error))
    }
    let now = MonotonicClock.now()
    if end == nil && now >= giveUp { finish(.failed(timedOut)) }
    if end == nil && now >= patienceEnd {
      finish(.failed(notFollowed("the registry went away and does not know the handoff's end")))
    }
    return news
  }

  private func follow() throws(CommandFailure) {
    guard end == nil, let connection else { return }
    do throws(CommandFailure) {
      try connection.exchange()
      while end == nil, let reply = try connection.nextReply() {
        try take(try RegistryConnection.decode(reply), isLast: !reply.continues)
      }
    } catch {
      // The registry comes back with its journal; the handoff goes on without this connection.
      guard error.status == .registryUnreachable, lastReply != nil else { throw afterRecording(error) }
      self.connection = nil
      let now = MonotonicClock.now()
      nextQuestion = now &+ Self.questionInterval
      patienceEnd = now &+ Self.patience
      news.append(.note("\(guest): the registry went away; asking again until it is back"))
    }
  }

  /// What an error reply means once the intent was recorded: no successor came, and the guest stands where it
  /// stood. If that was our successor's fault, say so.
  private func afterRecording(_ failure: CommandFailure) -> CommandFailure {
    guard let guest = lastReply?.guest, failure.status == .failure else { return failure }
    var failure = failure
    if let successorFailure {
      failure.whatFailed = "no successor came"
      failure.cause = successorFailure
    }
    failure.status = CommandStatus(failedWith: guest)
    failure.guestState =
      failure.status == .guestAtSource ? "the guest still runs at the source" : guest.state.clause
    return failure
  }

  private func take(_ reply: UpgradeReply, isLast: Bool) throws(CommandFailure) {
    // Once the registry has answered, its own deadlines end the handoff.
    if lastReply == nil && plan.timeoutNanoseconds == nil { giveUp = .max }
    lastReply = reply
    news.append(.reply(reply))
    switch reply.step {
    case .recorded: startSuccessor()
    case .phaseStarted, .phaseEnded: break
    case .finished:
      guard let handoff = reply.handoff else {
        throw notFollowed("the registry's last answer does not tell the handoff")
      }
      finish(.ended(handoff, reply.guest, successorFailure))
      return
    }
    if isLast { throw notFollowed("the registry's answers ended too early") }
  }

  private func startSuccessor() {
    guard !plan.program.isEmpty else {
      news.append(.note("\(guest): recorded; start its successor now"))
      return
    }
    do throws(SystemError) {
      successor = try SuccessorProcess(arguments: plan.arguments(for: guest), log: plan.log(for: guest))
    } catch {
      abort("the successor was not started: \(error)")
    }
  }

  private func watchSuccessor() throws(CommandFailure) {
    guard let successor, let failure = successor.failureIfEnded() else { return }
    self.successor = nil
    guard end == nil, let failure else { return }
    abort("the successor \(failure)")
  }

  /// Tells the registry that no successor will come. It decides what that means for the guest.
  private func abort(_ cause: String) {
    successorFailure = cause
    news.append(.note("\(guest): \(cause)"))
    do throws(CommandFailure) {
      let connection = try RegistryConnection(path: plan.socketPath, timeoutNanoseconds: 2_000_000_000)
      let _: AbortReply = try connection.ask(
        .abort, AbortRequest(guest: guest, handoff: lastReply?.number), timeoutNanoseconds: 2_000_000_000)
    } catch {
      // The registry's own deadline ends the handoff, or it has ended already; either way it tells us.
      if error.status != .nothingToAbort { news.append(.note(error.line(verb: "abort", guest: guest))) }
    }
  }

  /// Asks for the handoff's end after the connection was lost. VMMs need a moment to present themselves to a
  /// registry that is back, so a guest or handoff that it does not know is asked for again.
  private func askAgain() throws(CommandFailure) {
    guard end == nil, let time = nextQuestion, let number = lastReply?.number else { return }
    guard MonotonicClock.now() >= time else { return }
    defer { nextQuestion = end == nil ? MonotonicClock.now() &+ Self.questionInterval : nil }
    do throws(CommandFailure) {
      let connection = try RegistryConnection(path: plan.socketPath, timeoutNanoseconds: 100_000_000)
      let reply: DescribeReply = try connection.ask(
        .describe, DescribeRequest(guest: guest, handoff: number), timeoutNanoseconds: 1_000_000_000)
      guard let handoff = reply.handoffs.last else { return }
      if handoff.outcome == .inProgress {
        patienceEnd = MonotonicClock.now() &+ Self.patience
      } else {
        finish(.ended(handoff, reply.guest, successorFailure))
      }
    } catch {
      guard error.status == .registryUnreachable || error.status == .unknownGuest else {
        throw notFollowed("\(error.whatFailed): \(error.cause)")
      }
    }
  }

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
    guard end == nil else { return }
    end = UpgradeEnd(guest: guest, how: how)
    connection = nil
  }
}
