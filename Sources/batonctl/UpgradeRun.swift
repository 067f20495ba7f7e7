import LinuxOS
import RegistryInterface

/// A rolling upgrade: some guests at once, the next when one has ended.
final class UpgradeRun {
  private let plan: UpgradePlan
  private let printer: Printer
  private var progress: ProgressDisplay
  private var waiting: ArraySlice<String>
  private var attempts: [UpgradeAttempt] = []
  private var ends: [UpgradeEnd] = []
  /// What was seen of the only guest, and what the registry says of it; after ``report()``.
  private(set) var onlyGuest: (UpgradeEnd, GuestReport)?
  /// Whether the registry has answered once; one that goes away then comes back.
  private var hasReached = false
  /// Since when the registry is away, and when to try the next guest again.
  private var absence: (since: UInt64, next: UInt64)?

  init(_ plan: UpgradePlan, printer: Printer) {
    self.plan = plan
    self.printer = printer
    waiting = plan.guests[...]
    progress = ProgressDisplay(printer: printer, total: plan.guests.count)
  }

  /// Goes through all guests.
  func run() throws(CommandFailure) {
    while true {
      startMore()
      if attempts.isEmpty && absence == nil { break }
      try wait()
      manager?.listen()
      for attempt in attempts { advance(attempt) }
      attempts.removeAll { $0.end != nil }
      manager?.listen()
    }
    progress.clear()
    ends += waiting.map { UpgradeEnd(guest: $0, how: .notTried) }
  }

  private var manager: ManagerConnection? {
    switch plan.starter {
    case .slots(let manager): manager
    case .program, .others: nil
    }
  }

  private var mayStart: Bool { ends.count { $0.failure != nil } < plan.maximumFailures }

  private func startMore() {
    while attempts.count < plan.maximumParallel, mayStart, let guest = waiting.first {
      if let absence, MonotonicClock.now() < absence.next { return }
      do throws(CommandFailure) {
        attempts.append(try UpgradeAttempt(guest, plan: plan))
        hasReached = true
      } catch {
        if isAwaited(error) { return }
        note(UpgradeEnd(guest: guest, how: .failed(error)))
      }
      absence = nil
      waiting.removeFirst()
    }
    if !mayStart { absence = nil }
  }

  /// Whether a registry that did not take a call is waited for: one that had answered before is being restarted.
  private func isAwaited(_ failure: CommandFailure) -> Bool {
    let isGone = failure.status == .registryUnreachable || failure == CommandFailure(RegistryError.stopping)
    let now = MonotonicClock.now()
    let since = absence?.since ?? now
    guard isGone, hasReached, plan.timeoutNanoseconds == nil, now &- since < RegistryTruth.absence else {
      return false
    }
    absence = (since, now &+ 200_000_000)
    return true
  }

  private func wait() throws(CommandFailure) {
    var interests = attempts.flatMap(\.interests)
    if let interest = manager?.interest { interests.append(interest) }
    if manager?.hasNews == true { return }
    let wake = (attempts.map(\.wakeTime) + [absence?.next ?? .max]).min() ?? .max
    let now = MonotonicClock.now()
    do throws(SystemError) {
      _ = try Poller.wait(&interests, timeoutNanoseconds: wake == .max ? nil : (wake > now ? wake - now : 0))
    } catch {
      throw CommandFailure(
        "waiting failed", cause: "\(error)", guestState: "handoffs may still be under way",
        remedy: "see batonctl list", status: .outcomeUnknown)
    }
  }

  private func advance(_ attempt: UpgradeAttempt) {
    for news in attempt.step() {
      switch news {
      case .reply(let reply):
        if printer.json {
          printer.write(json: UpgradeLine(type: .progress, guest: attempt.guest, reply: reply))
        } else {
          progress.show(reply)
        }
      case .status(let text): progress.show(attempt.guest, unitSays: text)
      case .note(let text): progress.note("\(attempt.guest): \(text)")
      }
    }
    guard let end = attempt.end else { return }
    if attempt.lastReply == nil, let failure = end.failure, isAwaited(failure) {
      // Nothing was recorded: it is as if this guest had not been tried.
      waiting = [attempt.guest] + waiting
    } else {
      note(end)
    }
  }

  private func note(_ end: UpgradeEnd) {
    ends.append(end)
    let failure = end.failure
    progress.ended(end)
    if let failure {
      printer.report(failure, verb: "upgrade", guest: end.guest)
    } else if let cause = end.successorFailure?.cause {
      // A failed job alone proves nothing.
      progress.note("\(end.guest): \(cause); yet the handoff is committed")
    }
    if printer.json {
      printer.write(
        json: UpgradeLine(
          type: .end, guest: end.guest, outcome: end.handoff?.outcome, exitStatus: end.status.rawValue,
          error: failure?.line(verb: "upgrade", guest: end.guest), handoff: end.handoff))
    }
  }

  /// Asks the registry where the guests are now, and writes the report.
  ///
  /// - Returns: The worst of their ends.
  func report() -> CommandStatus {
    let known = ends.filter { $0.before != nil }.map(\.guest)
    let truth = RegistryTruth(
      known, socketPath: plan.socketPath, isPatient: plan.timeoutNanoseconds == nil && !known.isEmpty)
    let report = UpgradeReport(ends, order: plan.guests, after: truth.guests)
    if let failure = truth.failure, !known.isEmpty {
      printer.note(
        CommandFailure(
          "the guests' ends are not confirmed", cause: "\(failure.whatFailed): \(failure.cause)",
          guestState: "the report tells what was seen on the way", remedy: "see batonctl list",
          status: .outcomeUnknown
        ).line(verb: "upgrade"))
    }
    let failed = Set(ends.filter { $0.failure != nil }.map(\.guest))
    for guest in report.guests { correct(guest, hasFailed: failed.contains(guest.guest)) }
    write(report, truth.failure)
    if let attempt = ends.first, let only = report.guests.first, ends.count == 1 {
      onlyGuest = (attempt, only)
    }
    return report.status
  }

  /// Says where what the registry tells now differs from what was seen.
  private func correct(_ guest: GuestReport, hasFailed: Bool) {
    switch guest.end {
    case .notTried: break
    case .upgraded:
      guard hasFailed, !printer.quiet else { return }
      printer.note(
        PlainText.clean(
          "\(guest.guest): yet it runs at its new owner, process \(guest.owner?.processId ?? 0), says the registry"
        ))
    case .stayed, .waiting, .lost, .ended, .unknown:
      guard !hasFailed else { return }
      let failure = CommandFailure(
        "handoff went through, but not for long", cause: guest.reason ?? guest.end.words,
        guestState: guest.state?.clause, remedy: guest.remedy ?? "see batonctl show \(guest.guest)",
        status: CommandStatus(rawValue: guest.exitStatus) ?? .outcomeUnknown)
      printer.report(failure, verb: "upgrade", guest: guest.guest)
    }
  }

  private func write(_ report: UpgradeReport, _ failure: CommandFailure?) {
    if printer.json {
      let counts = report.counts
      let committed = counts[.upgraded] ?? 0
      let notTried = counts[.notTried] ?? 0
      printer.write(
        json: UpgradeLine(
          type: .report, exitStatus: report.status.rawValue, committed: committed,
          failed: report.guests.count - committed - notTried, notTried: notTried,
          ends: Dictionary(uniqueKeysWithValues: counts.map { ($0.rawValue, $1) }), guests: report.guests,
          truthMissing: failure.map { "\($0.whatFailed): \($0.cause)" }))
    } else if !printer.quiet {
      if let only = ends.first, ends.count == 1 {
        // Without a handoff the error line has said all there is.
        let picture = only.handoff.map {
          TimelinePicture($0, style: printer.style).lines(width: printer.width)
        }
        printer.write(picture ?? [])
      } else {
        printer.write(report.lines(width: printer.tableWidth, style: printer.style))
      }
    }
  }
}
