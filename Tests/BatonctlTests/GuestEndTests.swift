import RegistryInterface
import Systemd
import Testing

@testable import batonctl

@Suite("A guest's end in a run of upgrades")
struct GuestEndTests {
  /// What was seen, what the registry says after the run, and what is to be reported.
  struct Row: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let seen: UpgradeEnd
    let after: Guest?
    let end: GuestEnd
    let status: CommandStatus

    init(_ words: String, _ seen: UpgradeEnd, _ after: Guest?, _ end: GuestEnd, _ status: CommandStatus) {
      testDescription = words
      self.seen = seen
      self.after = after
      self.end = end
      self.status = status
    }
  }

  static let rows: [Row] = {
    let old = Samples.guest()
    let new = Samples.guest(epoch: 4, slot: .b)
    let again = Samples.guest(epoch: 4)
    let parked = Samples.guest(.waiting, hasOwner: false)
    var forgotten = Samples.failed(.outcomeUnknown)
    forgotten.registryWasAway = true
    var sighted = Samples.failed(.outcomeUnknown)
    sighted.lastOwner = new.owner
    let notTried = UpgradeEnd(guest: "vm1", how: .notTried)
    var alarmed = old
    alarmed.alarm = Alarm(sentence: "it hangs", command: "kill -CONT 1", sinceRealtimeMicroseconds: 1)
    var later = new
    later.lastHandoff = 8
    later.lastOutcome = .committed
    return [
      Row("committed", Samples.attempt(.committed), new, .upgraded, .success),
      Row(
        "committed, then it ended", Samples.attempt(.committed), Samples.guest(.ended), .ended, .guestEnded),
      Row(
        "committed, then it was lost", Samples.attempt(.committed), Samples.guest(.lost), .lost, .guestLost),
      Row("committed, the registry is silent", Samples.attempt(.committed), nil, .unknown, .outcomeUnknown),
      Row("aborted", Samples.attempt(.aborted), old, .stayed, .guestAtSource),
      Row("taken back", Samples.attempt(.takenBack), old, .stayed, .guestAtSource),
      Row("taken back, which is an epoch", Samples.attempt(.takenBack), again, .stayed, .guestAtSource),
      Row("not followed, it was taken back", Samples.failed(.outcomeUnknown), again, .stayed, .guestAtSource),
      Row("taken out of custody", Samples.attempt(.committed, before: parked), new, .upgraded, .success),
      Row("taken back, with an alarm", Samples.attempt(.takenBack), alarmed, .waiting, .guestWaits),
      Row(
        "being taken back", Samples.attempt(.inProgress), Samples.guest(.takingBack), .waiting, .guestWaits),
      Row(
        "in custody", Samples.failed(.outcomeUnknown), Samples.guest(.waiting, hasOwner: false), .waiting,
        .guestWaits),
      Row("not followed, yet it went through", Samples.failed(.outcomeUnknown), later, .upgraded, .success),
      Row("not followed, it stayed", Samples.failed(.outcomeUnknown), old, .stayed, .guestAtSource),
      Row("a failed job, yet it went through", Samples.failed(.guestAtSource), later, .upgraded, .success),
      Row("refused by preflight", Samples.failed(.preflightFailed), old, .stayed, .preflightFailed),
      Row("not allowed", Samples.failed(.notAllowed, before: nil), old, .stayed, .notAllowed),
      Row("may not ask", Samples.failed(.notAllowed, before: nil), nil, .unknown, .notAllowed),
      Row("no such guest", Samples.failed(.unknownGuest, before: nil), nil, .unknown, .unknownGuest),
      Row(
        "no registry", Samples.failed(.registryUnreachable, before: nil), nil, .unknown, .registryUnreachable),
      Row("ended and begun anew", Samples.failed(.guestEnded), new, .ended, .guestEnded),
      Row("committed, and a registry that is back has forgotten it", forgotten, new, .upgraded, .success),
      Row("seen at its new owner, then not followed", sighted, new, .upgraded, .success),
      Row("ended and forgotten", Samples.failed(.guestEnded), nil, .ended, .guestEnded),
      Row("lost and forgotten", Samples.attempt(.lost), nil, .lost, .guestLost),
      Row("not tried", notTried, old, .notTried, .success),
      Row("not tried, silent", notTried, nil, .notTried, .success),
      Row("not tried, and it ended", notTried, Samples.guest(.ended), .ended, .guestEnded),
      Row("not tried, and it is lost", notTried, Samples.guest(.lost), .lost, .guestLost),
    ]
  }()

  @Test("is what the registry says afterwards", arguments: rows)
  func table(_ row: Row) {
    let end = GuestEnd(row.seen, after: row.after)
    #expect(end == row.end)
    #expect(end.status(row.seen.failure) == row.status)
  }

  @Test("is each in the table")
  func complete() {
    #expect(Set(Self.rows.map(\.end)) == Set(GuestEnd.allCases))
  }

  @Test("that is dangerous is never reported as a safe one, whatever was seen")
  func dangerous() {
    let seen =
      [Outcome.committed, .aborted, .takenBack, .ended].map { Samples.attempt($0) }
      + CommandStatus.allCases.filter { $0 != .success }.map { Samples.failed($0) }
    for attempt in seen {
      for (state, status) in [(GuestState.lost, CommandStatus.guestLost), (.waiting, .guestWaits)] {
        let end = GuestEnd(attempt, after: Samples.guest(state, hasOwner: false))
        #expect(end.status(attempt.failure) == status)
      }
    }
  }
}

@Suite("The report of a run")
struct UpgradeReportTests {
  private func attempt(_ name: String, _ how: UpgradeEnd.How, before: Guest? = Samples.guest()) -> UpgradeEnd
  {
    UpgradeEnd(guest: name, before: before, how: how)
  }

  private var report: UpgradeReport {
    var lost = Samples.guest(.lost, hasOwner: false)
    lost.endSentence = "both VMMs ended while it was claimed"
    let refusal = Refusal(name: "stateUnreadable", sentence: "format 7 is newer than 6", by: .successor)
    return UpgradeReport(
      [
        attempt("c", .ended(Samples.handoff(.lost), lost)),
        attempt("a", .ended(Samples.handoff(.committed), Samples.guest(epoch: 4))),
        attempt("b", .ended(Samples.handoff(.takenBack, refusal: refusal), Samples.guest())),
        attempt("d", .notTried, before: nil),
      ], order: ["a", "b", "c", "d"],
      after: [
        "a": Samples.guest(epoch: 4, slot: .b), "b": Samples.guest(), "c": lost, "d": Samples.guest(),
      ])
  }

  @Test("names every guest once, in the order of the run, with its end and the reason")
  func everyGuest() throws {
    #expect(report.guests.map(\.guest) == ["a", "b", "c", "d"])
    #expect(report.guests.map(\.end) == [.upgraded, .stayed, .lost, .notTried])
    let lines = report.lines(width: nil, style: PictureStyle(unicode: false))
    #expect(lines.filter { $0.hasPrefix("a ") }.count == 1)
    #expect(lines.contains { $0.hasPrefix("b ") && $0.contains("stayed with its old owner") })
    #expect(lines.contains { $0.hasPrefix("d ") && $0.contains("not tried") })
    #expect(
      lines.contains { $0.hasPrefix("b: ") && $0.contains("stateUnreadable: format 7 is newer than 6") })
    #expect(lines.contains { $0.hasPrefix("c: ") && $0.contains("both VMMs ended while it was claimed") })
    #expect(report.guests.last?.reason == "the failure limit was reached")
    let narrow = report.lines(width: 60, style: PictureStyle(unicode: false)).drop { !$0.hasPrefix("b: ") }
    #expect(narrow.first { $0.hasPrefix("  ") } != nil)
    #expect(
      lines.last
        == "1 upgraded, 1 stayed with the old owner, 1 lost, 1 not tried; blackout p50 312 us, max 312 us")
  }

  @Test("of a guest that waits says why nobody took it, and the command that settles it")
  func waiting() throws {
    var guest = Samples.guest(.waiting, hasOwner: false)
    guest.alarm = Alarm(sentence: "it waits", command: "batonctl upgrade vm1", sinceRealtimeMicroseconds: 1)
    let seen = UpgradeReport([Samples.failed(.guestWaits)], order: ["vm1"], after: ["vm1": guest])
    #expect(seen.guests.first?.reason == "it failed: of this")
    #expect(seen.guests.first?.remedy == "batonctl upgrade vm1")
    let unseen = UpgradeReport([Samples.attempt(.committed)], order: ["vm1"], after: ["vm1": guest])
    #expect(unseen.guests.first?.reason == "it waits")
  }

  @Test("has the worst guest's exit status")
  func status() {
    #expect(report.status == .guestLost)
    #expect(UpgradeReport([], order: [], after: [:]).status == .success)
    #expect(
      UpgradeReport([], order: [], after: [:]).lines(width: nil, style: PictureStyle()) == ["no guests"])
  }

  @Test("says of a successor that failed what its unit said, and where to read more")
  func unit() throws {
    let refusal = Refusal(name: "abortedByOperator", sentence: "an operator ended it", by: .operator)
    var end = Samples.attempt(.aborted, refusal: refusal)
    let facts = UnitFacts(
      unit: "baton-vmm-b@vm1.service", end: .failed, status: "BATON_MEMORY is missing", result: "exit-code",
      exitCode: "1", exitStatus: "64")
    end.successorFailure = .init(cause: facts.sentence, remedy: facts.remedy, status: nil)
    let failure = try #require(end.failure)
    #expect(
      failure.cause
        == "the start of baton-vmm-b@vm1.service failed (exit status 64): BATON_MEMORY is missing")
    #expect(failure.remedy == "see journalctl -x -n 20 -u baton-vmm-b@vm1.service")
    #expect(failure.status == .guestAtSource)
    let killed = UnitFacts(
      unit: "u", end: .failed, status: "mapping", result: "signal", exitCode: "2", exitStatus: "9")
    #expect(killed.sentence == "the start of u failed (signal 9) after it had said 'mapping'")
    let slow = UnitFacts(
      unit: "u", end: .timeout, status: "", result: "timeout", exitCode: "0", exitStatus: "0")
    #expect(slow.sentence == "the start of u took too long (timeout)")
    // What another than we said is told as well.
    var declined = Samples.attempt(
      .aborted, refusal: Refusal(name: "successorDeclined", sentence: "no room", by: .successor))
    declined.successorFailure = end.successorFailure
    #expect(declined.failure?.cause.hasPrefix("successorDeclined: no room (successor), the start of") == true)
  }
}
