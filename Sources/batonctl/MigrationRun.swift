import LinuxOS
import RegistryInterface

/// A migration from the operator's side: the plan, the question, the move, the report.
struct MigrationRun {
  /// What is wanted.
  struct Order {
    let guest: String
    let host: RemoteHost
    var limits = MigrationLimits()
    /// Only the plan.
    var isPlanOnly = false
    /// Whether the plan is accepted without a question.
    var isAccepted = false
    /// Which refusal of the local way led here.
    var fallbackFrom: String?
    var socketPath: String
    var timeoutNanoseconds: UInt64?

    func wish(planOnly: Bool) -> MigrationWish {
      var wish = MigrationWish(host: host.description)
      wish.planOnly = planOnly ? true : nil
      wish.maxPauseMilliseconds = UInt64(limits.maxPauseMilliseconds)
      wish.maxTimeSeconds = limits.maxTimeSeconds.map { UInt64($0) }
      wish.bandwidthBytesPerSecond = limits.bandwidthBytesPerSecond
      wish.allowNonconvergence = limits.allowsNonconvergence ? true : nil
      return wish
    }
  }

  private let order: Order
  private let printer: Printer
  private let follower: MigrationFollower

  init(_ order: Order, printer: Printer) throws(CommandFailure) {
    self.order = order
    self.printer = printer
    follower = try MigrationFollower(
      guest: order.guest, host: order.host, socketPath: order.socketPath,
      timeoutNanoseconds: order.timeoutNanoseconds, printer: printer)
  }

  /// Whether there will be an answer to the question; asked before anything is measured.
  ///
  /// - Parameters:
  ///   - isJSON: Whether programs read the output, so that nobody is asked.
  ///   - canAsk: Whether there is a terminal.
  static func checkAnswer(
    isPlanOnly: Bool, isAccepted: Bool, isJSON: Bool, canAsk: Bool
  ) throws(CommandFailure) {
    guard !isPlanOnly, !isAccepted, isJSON || !canAsk else { return }
    let why = isJSON ? "with --json nobody is asked" : "there is no terminal to ask on"
    throw CommandFailure(
      "nothing was tried", cause: "the plan has to be accepted, and \(why)",
      remedy: "see the plan with batonctl migrate --plan, accept it with --yes", status: .failure)
  }

  /// Does it all.
  func run() throws(CommandFailure) -> CommandStatus {
    do throws(CommandFailure) {
      try Self.checkAnswer(
        isPlanOnly: order.isPlanOnly, isAccepted: order.isAccepted, isJSON: printer.json,
        canAsk: Question.canAsk)
      let plan = try plan()
      if let obstacle = order.limits.obstacle(plan) { throw obstacle }
      if order.isPlanOnly {
        writeEnd(.planned, nil, nil, nil)
        return .success
      }
      try accept()
      return try move(plan)
    } catch {
      if printer.json {
        var line = MigrationLine(type: .end, guest: order.guest, host: order.host.description)
        line.outcome = MigrationEnd(error)
        line.exitStatus = error.status.rawValue
        line.error = error.line(verb: "migrate", guest: order.guest)
        line.fallbackFrom = order.fallbackFrom
        printer.write(json: line)
      }
      throw error
    }
  }

  private func plan() throws(CommandFailure) -> MigrationProgress {
    let (migration, guest) = try follower.follow(order.wish(planOnly: true))
    guard migration.outcome == .planned, let plan = migration.progress else {
      throw Self.planFailure(migration, guest)
    }
    if printer.json {
      printer.write(
        json: MigrationLine(
          type: .plan, guest: order.guest, host: order.host.description, migration: migration))
    } else if order.isPlanOnly || !order.isAccepted || !printer.quiet {
      printer.write(
        MigrationPlanPicture(
          guest: order.guest, host: order.host.description, plan: plan, limits: order.limits,
          style: printer.style
        ).lines(width: printer.width, tableWidth: printer.tableWidth))
    }
    return plan
  }

  /// Why there is no plan.
  static func planFailure(_ migration: Migration, _ guest: Guest) -> CommandFailure {
    let end = MigrationEnd(migration, guest)
    if end != .stayed, let failure = end.failure(migration, guest) { return failure }
    let cause =
      migration.refusal.map { "\($0.name): \(MigrationEnd.cause(of: $0))" } ?? "there is no plan"
    let isOurs = migration.refusal?.name == "migrationCancelled"
    return CommandFailure(
      "nothing was tried", cause: cause, guestState: MigrationLimits.runsHere,
      remedy: MigrationEnd.remedy(migration.refusal?.name, host: migration.peer),
      status: isOurs ? .failure : .preflightFailed)
  }

  private func accept() throws(CommandFailure) {
    guard !order.isAccepted else { return }
    let question = "\n" + PlainText.clean("Move \(order.guest) to \(order.host)?")
    guard !Question.ask(question, signals: follower.signals) else { return }
    throw CommandFailure(
      "nothing was tried", cause: "the plan was not accepted", guestState: MigrationLimits.runsHere,
      status: .failure)
  }

  /// So long the target's VMM, which has just taken part in the plan, may take until it waits again.
  private static let comeback: UInt64 = 10_000_000_000
  private static let interval: UInt64 = 200_000_000

  private func move(_ plan: MigrationProgress) throws(CommandFailure) -> CommandStatus {
    let patienceEnd = MonotonicClock.now() &+ Self.comeback
    var (migration, guest) = try follower.follow(order.wish(planOnly: false))
    while migration.refusal?.name == "targetNotWaiting", migration.outcome == .stayed,
      MonotonicClock.now() < patienceEnd, follower.pause(Self.interval)
    {
      (migration, guest) = try follower.follow(order.wish(planOnly: false))
    }
    let end = MigrationEnd(migration, guest)
    if let failure = end.failure(migration, guest) { throw failure }
    writeEnd(end, migration, guest, migration.progress.map { MigrationSummary(plan: plan, last: $0) })
    return end.status
  }

  private func writeEnd(
    _ end: MigrationEnd, _ migration: Migration?, _ guest: Guest?, _ summary: MigrationSummary?
  ) {
    if printer.json {
      printer.write(
        json: MigrationLine(
          type: .end, guest: order.guest, host: order.host.description, migration: migration, outcome: end,
          exitStatus: end.status.rawValue, predicted: summary?.predicted, real: summary?.real,
          fallbackFrom: order.fallbackFrom))
    } else if !printer.quiet, end == .moved {
      printer.write(
        MovedText(guest: order.guest, host: order.host.description, guestAfter: guest, summary: summary)
          .lines(style: printer.style))
    }
  }
}
