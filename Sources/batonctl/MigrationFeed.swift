import LinuxOS
import RegistryInterface
import Varlink

/// One migration, from the call to its end as the registry tells it. It goes on without this connection, and so is
/// followed on another one when the registry is restarted.
final class MigrationFeed {
  /// What there is to tell.
  enum News {
    /// How it stands.
    case step(Migration, Guest)
    /// Something that people should know.
    case note(String)
    /// The registry's last word.
    case finished(Migration, Guest)
  }

  let guest: String
  /// The migration's id, once the registry has told it.
  private(set) var id: String?
  private let socketPath: String
  private var connection: RegistryConnection?
  /// When to ask again after the registry went away, and until when.
  private var nextQuestion: UInt64 = .max
  private var patienceEnd: UInt64 = .max
  /// Until when the first answer may take.
  private var answerEnd: UInt64
  private var wantsCancel = false

  private static let questionInterval: UInt64 = 200_000_000

  /// Asks for the migration.
  init(
    _ guest: String, _ wish: MigrationWish, socketPath: String, timeoutNanoseconds: UInt64?
  ) throws(CommandFailure) {
    self.guest = guest
    self.socketPath = socketPath
    let connection = try RegistryConnection(path: socketPath, timeoutNanoseconds: timeoutNanoseconds)
    try connection.call(.migrate, MigrateRequest(guest: guest, request: wish), mode: .more)
    self.connection = connection
    answerEnd = MonotonicClock.now() &+ (timeoutNanoseconds ?? RegistryConnection.defaultTimeout)
  }

  /// What to wait for.
  var interests: [Poller.Interest] { connection.map { [$0.interest] } ?? [] }

  /// When to look again even if nothing comes.
  var wakeTime: UInt64 { min(nextQuestion, patienceEnd, answerEnd) }

  /// Does what can be done without waiting.
  func step() throws(CommandFailure) -> [News] {
    var news: [News] = []
    try follow(&news)
    try askAgain(&news)
    let now = MonotonicClock.now()
    if now >= answerEnd {
      throw CommandFailure(
        "no answer", cause: "the registry was silent for too long", guestState: nil,
        remedy: "look at batond's log, or raise --timeout", status: .outcomeUnknown)
    }
    if now >= patienceEnd { throw notFollowed("the registry went away and is not back") }
    return news
  }

  /// Tells the registry that the migration is not wanted any more. The end comes as news.
  ///
  /// - Returns: What people should know.
  func cancel() -> String {
    wantsCancel = true
    let limit: UInt64 = 2_000_000_000
    do throws(CommandFailure) {
      let connection = try RegistryConnection(path: socketPath, timeoutNanoseconds: limit)
      let _: AbortReply = try connection.ask(
        .abort, AbortRequest(guest: guest), timeoutNanoseconds: limit)
      wantsCancel = false
      return "cancelling; waiting until the guest is known to run on"
    } catch {
      guard error.status == .registryUnreachable else {
        // Too late, or over: its end tells.
        wantsCancel = false
        return "cannot be cancelled: \(error.cause)"
      }
      return "the registry is away; cancelled as soon as it is back"
    }
  }

  private func follow(_ news: inout [News]) throws(CommandFailure) {
    guard let connection else { return }
    do throws(CommandFailure) {
      try connection.exchange()
      while let reply = try connection.nextReply() {
        let told: MigrateReply = try RegistryConnection.decode(reply)
        answerEnd = .max
        id = told.migration.id
        guard told.step == .finished else {
          if !reply.continues { throw notFollowed("the registry's answers ended too early") }
          news.append(.step(told.migration, told.guest))
          continue
        }
        news.append(.finished(told.migration, told.guest))
        self.connection = nil
        return
      }
    } catch {
      let isGone = error.status == .registryUnreachable || error == CommandFailure(RegistryError.stopping)
      guard isGone, id != nil else { throw error }
      self.connection = nil
      let now = MonotonicClock.now()
      nextQuestion = now &+ Self.questionInterval
      patienceEnd = now &+ RegistryTruth.absence
      news.append(.note("the registry went away; asking again until it is back"))
    }
  }

  /// Asks how the migration stands after the connection was lost. A VMM needs a moment to present itself to a
  /// registry that is back.
  private func askAgain(_ news: inout [News]) throws(CommandFailure) {
    guard let id, MonotonicClock.now() >= nextQuestion else { return }
    defer { nextQuestion = nextQuestion == .max ? .max : MonotonicClock.now() &+ Self.questionInterval }
    let reply: DescribeReply
    do throws(CommandFailure) {
      let connection = try RegistryConnection(path: socketPath, timeoutNanoseconds: 100_000_000)
      reply = try connection.ask(.describe, DescribeRequest(guest: guest), timeoutNanoseconds: 1_000_000_000)
    } catch {
      guard error.status == .registryUnreachable || error.status == .unknownGuest else {
        throw notFollowed("\(error.whatFailed): \(error.cause)")
      }
      return
    }
    if wantsCancel { news.append(.note(cancel())) }
    guard let migration = reply.guest.migration, migration.id == id else {
      // One that is back may know the guest before it knows the migration.
      return
    }
    let isOver = migration.outcome != .inProgress || reply.guest.alarm != nil
    if isOver {
      news.append(.finished(migration, reply.guest))
      nextQuestion = .max
      patienceEnd = .max
    } else {
      patienceEnd = MonotonicClock.now() &+ RegistryTruth.absence
      news.append(.step(migration, reply.guest))
    }
  }

  /// The migration goes on, and nobody looks.
  func notFollowed(_ cause: String) -> CommandFailure {
    CommandFailure(
      "migration is not followed any more", cause: cause,
      guestState: id == nil ? nil : "the migration may still be under way",
      remedy: "see batonctl show \(guest)", status: .outcomeUnknown)
  }
}
