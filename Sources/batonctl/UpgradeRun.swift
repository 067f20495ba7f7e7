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
      if attempts.isEmpty { break }
      try wait()
      for attempt in attempts { advance(attempt) }
      attempts.removeAll { $0.end != nil }
    }
    progress.clear()
    ends += waiting.map { UpgradeEnd(guest: $0, how: .notTried) }
  }

  private var mayStart: Bool { plan.keepsGoing || ends.allSatisfy { $0.failure == nil } }

  private func startMore() {
    while attempts.count < plan.maximumParallel, mayStart, let guest = waiting.popFirst() {
      do throws(CommandFailure) {
        attempts.append(try UpgradeAttempt(guest, plan: plan))
      } catch {
        note(UpgradeEnd(guest: guest, how: .failed(error)))
      }
    }
  }

  private func wait() throws(CommandFailure) {
    var interests = attempts.flatMap(\.interests)
    let wake = attempts.map(\.wakeTime).min() ?? .max
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
      case .note(let text): progress.note(text)
      }
    }
    if let end = attempt.end { note(end) }
  }

  private func note(_ end: UpgradeEnd) {
    ends.append(end)
    progress.ended(end.guest)
    let failure = end.failure
    if let failure {
      progress.clear()
      printer.report(failure, verb: "upgrade", guest: end.guest)
    }
    if printer.json {
      printer.write(
        json: UpgradeLine(
          type: .end, guest: end.guest, outcome: end.handoff?.outcome, exitStatus: end.status.rawValue,
          error: failure?.line(verb: "upgrade", guest: end.guest), handoff: end.handoff))
    }
  }

  /// Writes the report of all guests.
  ///
  /// - Returns: The worst of their ends.
  func report() -> CommandStatus {
    let status = CommandStatus.worst(of: ends.map(\.status))
    let committed = ends.filter { $0.handoff?.outcome == .committed }.count
    let failed = ends.filter { $0.failure != nil }.count
    let notTried = ends.count - committed - failed
    if printer.json {
      printer.write(
        json: UpgradeLine(
          type: .report, exitStatus: status.rawValue, committed: committed, failed: failed,
          notTried: notTried))
    } else if !printer.quiet {
      printer.write(lines(committed, failed, notTried))
    }
    return status
  }

  private func lines(_ committed: Int, _ failed: Int, _ notTried: Int) -> [String] {
    if ends.isEmpty { return ["no guests"] }
    if let only = ends.first, ends.count == 1 {
      // Without a handoff the error line has said all there is.
      return only.handoff.map { TimelinePicture($0, style: printer.style).lines(width: printer.width) } ?? []
    }
    var table = TextTable([
      .init("GUEST"), .init("END"), .init("HANDOFF", numeric: true), .init("EPOCH", numeric: true),
      .init("TOOK", numeric: true), .init("BLACKOUT", numeric: true),
    ])
    for end in ends {
      let color: PictureStyle.Color =
        end.handoff?.outcome == .committed ? .good : (end.failure == nil ? .notable : .bad)
      table.append([
        .init(end.guest), .init(end.words, color), .init(end.handoff.map { "\($0.number)" } ?? "-"),
        .init((end.handoff?.epochAfter).map { "\($0)" } ?? "-"),
        .init(end.handoff.map { printer.duration($0.durationMicroseconds) } ?? "-"),
        .init((end.handoff?.blackoutMicroseconds).map { printer.duration($0) } ?? "-"),
      ])
    }
    return table.lines(width: nil, style: printer.style) + ["", summary(committed, failed, notTried)]
  }

  private func summary(_ committed: Int, _ failed: Int, _ notTried: Int) -> String {
    var text = "\(committed) committed, \(failed) failed, \(notTried) not tried"
    let blackouts = ends.compactMap {
      $0.handoff?.outcome == .committed ? $0.handoff?.blackoutMicroseconds : nil
    }
    .sorted()
    if let longest = blackouts.last {
      text += "; blackout p50 \(printer.duration(blackouts[(blackouts.count - 1) / 2]))"
      text += ", max \(printer.duration(longest))"
    }
    return text
  }
}
