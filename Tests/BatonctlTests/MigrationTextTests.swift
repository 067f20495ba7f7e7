import RegistryInterface
import Testing

@testable import batonctl

@Suite("The picture of a plan")
struct MigrationPlanPictureTests {
  private func lines(
    _ plan: MigrationProgress, limits: MigrationLimits = MigrationLimits(), unicode: Bool = false,
    width: Int = 80
  ) -> [String] {
    MigrationPlanPicture(
      guest: "vm1", host: "south", plan: plan, limits: limits, style: PictureStyle(unicode: unicode)
    ).lines(width: width, tableWidth: nil)
  }

  @Test("has what it comes to, the figures, and a bar for each part of the time")
  func plan() {
    #expect(
      lines(Samples.plan) == [
        "migration of vm1 to south: would take 5 min 31 s",
        "",
        "  pages    131,072 (512 MiB): 131,000 encrypted, 72 plain",
        "  moved    402 pages/s, the link carries 118 MiB/s",
        "  written  35 pages/s by the guest",
        "  rounds   4",
        "  time     5 min 31 s",
        "  pause    112 ms of at most 300 ms",
        "",
        "  copy        5 min 31 s  =====================================",
        "  finish          112 ms                                       ################",
        "                          |------------ 5 min 31 s ------------| pause 112 ms |",
        "                                     guest runs here             guest paused",
      ])
  }

  @Test("fits the terminal, and has no bars where there is no room for them")
  func width() {
    for width in [60, 80, 100, 400] {
      for line in lines(Samples.plan, unicode: true, width: width).dropFirst(8) {
        #expect(line.count <= min(width, 161), "\(line)")
      }
    }
    #expect(lines(Samples.plan, width: 50).count == 8)
  }

  @Test("of a guest that writes too fast says so, with the pause that it would need")
  func endless() {
    let lines = lines(Samples.endless)
    #expect(lines.first == "migration of vm1 to south: will not converge")
    #expect(lines.last == "  pause    5.2 s of at most 300 ms")
    #expect(lines.contains("  written  520 pages/s by the guest"))
  }

  @Test("names limits, the working set, and every check that is not in order")
  func details() {
    var plan = Samples.plan
    plan.workingSetPages = 400
    plan.checks = [
      Samples.check("connection", .pass, "south answers"), Samples.check("room", .warn, "3 ASIDs are free"),
    ]
    var limits = MigrationLimits()
    limits.maxTimeSeconds = 120
    limits.bandwidthBytesPerSecond = 10 << 20
    let lines = lines(plan, limits: limits)
    #expect(lines.first == "migration of vm1 to south: takes longer than it may")
    #expect(lines.contains("  moved    402 pages/s, the link carries 118 MiB/s, limited to 10 MiB/s"))
    #expect(lines.contains("  written  35 pages/s by the guest, about 400 again and again"))
    #expect(lines.contains("  time     5 min 31 s of at most 2 min 0 s"))
    #expect(lines.contains("  room     warn: 3 ASIDs are free"))
    #expect(!lines.contains { $0.contains("south answers") })
    plan.checks = [Samples.check("agreement", .fail, "the firmware did not agree")]
    #expect(self.lines(plan).first == "migration of vm1 to south: would be refused")
  }

  @Test("cannot be forged by a name or a check")
  func clean() {
    var plan = Samples.plan
    plan.checks = [Samples.check("room", .warn, "full\u{1B}[2J\nvm2 runs")]
    #expect(lines(plan).contains("  room     warn: full?[2J?vm2 runs"))
  }
}

@Suite("The line of a migration under way")
struct MigrationProgressLineTests {
  private let line = MigrationProgressLine(guest: "vm1", host: "south", style: PictureStyle(unicode: false))

  private var copying: Migration {
    var progress = Samples.plan
    progress.round = 2
    progress.elapsedMilliseconds = 100_000
    progress.expectedMilliseconds = 150_000
    progress.pagesRemaining = 12_345
    return Samples.migration(.copying, progress: progress)
  }

  @Test("has a bar by time, the time that is left, pages and rates, as there is room")
  func room() {
    #expect(
      line.drawn(copying, width: 110)
        == "vm1 to south: round 2  ########............  40 %  ETA 2 min 30 s  12,345 left  "
        + "402 pages/s  35 written/s")
    #expect(
      line.drawn(copying, width: 70)
        == "vm1 to south: round 2  ####......  40 %  ETA 2 min 30 s  12,345 left")
    #expect(line.drawn(copying, width: 30) == "vm1 to south: round 2  40 %")
    #expect(line.drawn(copying, width: 12) == "vm1 to south")
    for width in 1...160 { #expect(line.drawn(copying, width: width).count <= width) }
  }

  @Test("has a bar of one length on one terminal, whatever stands beside it")
  func length() {
    for width in [80, 120, 200] {
      var lengths: Set<Int> = []
      for left: UInt64 in [1, 1_234, 123_456_789] {
        var migration = copying
        migration.progress?.pagesRemaining = left
        migration.progress?.pagesPerSecond = left
        lengths.insert(line.drawn(migration, width: width).count { $0 == "#" || $0 == "." })
      }
      #expect(lengths.count == 1 && lengths.first != 0, "\(width): \(lengths)")
    }
  }

  @Test("says where it stands in every phase")
  func phases() {
    let words = MigrationPhase.allCases.map { line.drawn(Samples.migration($0), width: 80) }
    #expect(Set(words).count == words.count)
    #expect(words.allSatisfy { $0.hasPrefix("vm1 to south: ") })
    var cancelling = copying
    cancelling.cancelling = true
    #expect(line.line(cancelling).hasPrefix("vm1: cancelling"))
  }

  @Test("promises no end that is not in sight")
  func endless() {
    var migration = copying
    migration.progress?.willConverge = false
    #expect(
      line.line(migration) == "vm1: round 2, 40 %, no end in sight, 12,345 left, 402 pages/s, 35 written/s")
  }

  @Test("without a terminal is words, with figures only where there are some")
  func words() {
    #expect(line.line(Samples.migration(.checking)) == "vm1: checking")
    #expect(
      line.line(copying) == "vm1: round 2, 40 %, ETA 2 min 30 s, 12,345 left, 402 pages/s, 35 written/s")
  }
}

@Suite("What a migration came to")
struct MigrationSummaryTests {
  private var last: MigrationProgress {
    var last = Samples.plan
    last.round = 5
    last.pagesSent = 136_400
    last.bytesSent = 541 << 20
    last.elapsedMilliseconds = 339_800
    last.pauseMicroseconds = 118_400
    return last
  }

  @Test("stands beside what was foretold, and tells what to do on either host")
  func table() {
    let summary = MigrationSummary(plan: Samples.plan, last: last)
    let text = MovedText(guest: "vm1", host: "south", guestAfter: Samples.guest(.departed), summary: summary)
    #expect(
      text.lines(style: PictureStyle(unicode: false)) == [
        "vm1: runs on south",
        "",
        "           PREDICTED        REAL",
        "  time    5 min 31 s  5 min 39 s",
        "  pause    112.00 ms   118.40 ms",
        "  rounds           4           5",
        "  pages            -     136,400",
        "  sent             -     541 MiB",
        "",
        "  here:  vm1 was given up and cannot run any more",
        "         systemctl disable baton-vmm-a@vm1.service keeps a reboot from starting it anew",
        "  there: batonctl show vm1",
      ])
    let outside = Samples.guest(.departed, slot: nil)
    let short = MovedText(guest: "vm1", host: "south", guestAfter: outside, summary: nil)
    #expect(
      short.lines(style: PictureStyle()) == [
        "vm1: runs on south", "", "  here:  vm1 was given up and cannot run any more",
        "  there: batonctl show vm1",
      ])
  }

  @Test("has the same figures for programs")
  func figures() {
    let summary = MigrationSummary(plan: Samples.plan, last: last)
    #expect(
      summary.predicted == .init(milliseconds: 331_200, pauseMicroseconds: 112_000, rounds: 4))
    #expect(
      summary.real
        == .init(
          milliseconds: 339_800, pauseMicroseconds: 118_400, rounds: 5, pages: 136_400, bytes: 541 << 20))
  }

  @Test("has durations as exact as an estimate is")
  func rough() {
    let figures: [(UInt64, String)] = [
      (0, "0 ms"), (999, "999 ms"), (1000, "1 s"), (5210, "5.2 s"), (119_940, "119.9 s"),
      (120_000, "2 min 0 s"), (331_200, "5 min 31 s"), (7_199_999, "119 min 59 s"), (9_660_000, "2 h 41 min"),
    ]
    for (milliseconds, text) in figures { #expect(MigrationText.rough(milliseconds: milliseconds) == text) }
    #expect(MigrationText.bar(0.5, width: 10, unicode: true) == "█████░░░░░")
    #expect(MigrationText.bar(7, width: 4, unicode: false) == "####")
  }
}

@Suite("An open migration in list and show")
struct OpenMigrationTests {
  private let printer = Printer(json: false, quiet: false)

  @Test("is told in the list with where it goes and how long it takes")
  func list() throws {
    var progress = Samples.plan
    progress.expectedMilliseconds = 150_000
    let guest = Samples.guest(.running, Samples.migration(.copying, progress: progress))
    let lines = GuestTable(guests: [guest], printer: printer).lines
    #expect(lines[1].hasSuffix("migration to south, round 1, ETA 2 min 30 s"))
    let gone = Samples.guest(.departed, Samples.migration(.done, .migrated))
    #expect(GuestTable(guests: [gone], printer: printer).lines[1].hasSuffix("moved to south"))
  }

  @Test("is shown with its end")
  func show() {
    var progress = Samples.plan
    progress.elapsedMilliseconds = 339_800
    progress.pauseMicroseconds = 118_400
    let moved = Samples.migration(.done, .migrated, progress: progress)
    let line = ShowCommand.migration(moved, printer).joined()
    #expect(
      line.hasPrefix("  migration to south: migrated, began 1970-01-01T00:00:00.000001Z, took 5 min 39 s"))
    let refusal = Refusal(name: "linkLost", sentence: "the connection broke; so", by: .source)
    let failed = ShowCommand.migration(Samples.migration(.failed, .stayed, refusal: refusal), printer)
    #expect(failed.joined().hasSuffix("; linkLost: the connection broke"))
  }
}
