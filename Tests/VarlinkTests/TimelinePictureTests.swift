import RegistryInterface
import Testing

@Suite("The picture of a handoff")
struct TimelinePictureTests {
  func picture(_ handoff: Handoff, width: Int = 80, unicode: Bool = true) -> String {
    TimelinePicture(handoff, style: PictureStyle(unicode: unicode)).lines(width: width).joined(
      separator: "\n")
  }

  var committed: Handoff {
    var handoff = Samples.handoff
    handoff.refusal = nil
    handoff.parked = nil
    return handoff
  }

  var takenBack: Handoff {
    var handoff = Samples.handoff
    handoff.parked = nil
    handoff.outcome = .takenBack
    handoff.phases = Array(Samples.phases.prefix(7))
    handoff.blackoutMicroseconds = 2312
    handoff.durationMicroseconds = 30_020_000
    return handoff
  }

  @Test("shows a long preparation and a short blackout side by side in 80 columns")
  func golden80() {
    #expect(picture(committed) == Golden.committed80)
  }

  @Test("uses the room of 120 columns")
  func golden120() {
    #expect(picture(committed, width: 120) == Golden.committed120)
  }

  @Test("is drawn in ASCII where the locale has no more")
  func goldenASCII() {
    let text = picture(committed, unicode: false)
    #expect(text == Golden.committedASCII)
    #expect(text.utf8.allSatisfy { $0 < 0x80 })
  }

  @Test("says why a guest was taken back and when it ran again")
  func goldenTakenBack() {
    #expect(picture(takenBack) == Golden.takenBack80)
  }

  /// A restart in place: the guest waited in custody until the new process had come.
  private func parked(waits: UInt64, isOver: Bool = true) -> Handoff {
    var handoff = Samples.handoff
    handoff.refusal = nil
    handoff.parked = true
    let durations: [(PhaseName, UInt64)] = [
      (.prepare, 900), (.offer, 80), (.freeze, 140), (.stage, 21), (.attach, waits), (.ready, 9000),
      (.claim, 19), (.receive, 85), (.commit, 30), (.run, 17),
    ]
    var start: UInt64 = 0
    handoff.phases = durations.map { name, duration in
      defer { start += duration }
      return Phase(name: name, startMicroseconds: start, durationMicroseconds: duration)
    }
    handoff.durationMicroseconds = start
    handoff.blackoutMicroseconds = 9312 + waits
    if !isOver {
      handoff.outcome = .inProgress
      handoff.epochAfter = nil
      handoff.successor = nil
      handoff.blackoutMicroseconds = nil
      handoff.phases = Array(handoff.phases.prefix(5))
      handoff.phases[4].durationMicroseconds = nil
      handoff.durationMicroseconds = 1141 + waits
    }
    return handoff
  }

  /// The rows of the phases, without their figures.
  private func bars(_ handoff: Handoff) -> [Substring] {
    picture(handoff, width: 100).split(separator: "\n").filter { $0.contains("█") || $0.contains("▒") }
      .map { $0.dropFirst(40) }
  }

  @Test("gives the time that a parked guest waits a scale of its own, be it milliseconds or hours")
  func goldenParked() {
    #expect(picture(parked(waits: 48_000), width: 100) == Golden.parked100)
    // However long it waits, what happens before and after is drawn alike.
    #expect(bars(parked(waits: 48_000)) == bars(parked(waits: 7_200_000_000)))
  }

  @Test("of a parked guest that still waits ends with its waiting")
  func stillParked() {
    let text = picture(parked(waits: 7_200_000_000, isOver: false), width: 100)
    #expect(text.contains("waits 120 min 0 s"))
    #expect(text.contains("attach"))
    #expect(text.split(separator: "\n").last.map { $0.hasSuffix("in custody") } == true)
  }

  @Test("shortens a figure that its part has no room for")
  func narrow() {
    var handoff = committed
    handoff.phases[10].durationMicroseconds = 22_240
    #expect(picture(handoff).contains("├ 22 ms ┤"))
    handoff.phases[10].durationMicroseconds = 4200
    #expect(picture(handoff).contains("├4.20 ms┤"))
  }

  @Test("never says that a lost guest runs after its blackout")
  func lost() {
    var handoff = takenBack
    handoff.outcome = .lost
    handoff.blackoutMicroseconds = nil
    let text = picture(handoff)
    #expect(text.contains("guest lost"))
    #expect(text.split(separator: "\n").last.map { $0.hasSuffix("guest paused") } == true)
    #expect(text.contains("paused 5.71 ms"))
  }

  @Test("leaves the bar of a phase open that still lasts")
  func inProgress() {
    var handoff = committed
    handoff.outcome = .inProgress
    handoff.epochAfter = nil
    handoff.blackoutMicroseconds = nil
    handoff.phases = [
      Phase(name: .attach, startMicroseconds: 0, durationMicroseconds: 1204),
      Phase(name: .prepare, startMicroseconds: 1204),
    ]
    handoff.durationMicroseconds = 2_000_000
    let text = picture(handoff)
    #expect(text.contains("in progress"))
    #expect(text.contains("…"))
    #expect(text.contains("▒>"))
  }

  @Test("says so when no phase has begun")
  func empty() {
    var handoff = committed
    handoff.phases = []
    #expect(picture(handoff).hasSuffix("no phase has begun"))
  }

  @Test("never exceeds the width and never fails, whatever the figures are")
  func hostileFigures() {
    let moments: [UInt64] = [0, 1, 999, 30_000_000, .max - 1, .max]
    for start in moments {
      for duration in moments + [UInt64?.none].compactMap(\.self) {
        for name in PhaseName.allCases {
          var handoff = committed
          handoff.phases = [
            Phase(name: name, startMicroseconds: start, durationMicroseconds: duration),
            Phase(name: .release, startMicroseconds: duration, durationMicroseconds: nil),
          ]
          handoff.durationMicroseconds = duration
          for width in [0, 20, 61, 80, 200] {
            let bars = TimelinePicture(handoff).lines(width: width).drop { !$0.hasPrefix("  phase") }
            #expect(bars.allSatisfy { $0.count <= max(width + 1, 60) }, "width \(width)")
          }
        }
      }
    }
  }

  @Test("cannot be forged by what a process says about itself")
  func cleaned() {
    var handoff = committed
    handoff.source.buildId = "1.0\u{1B}[2J\nhandoff 9 of vm1: committed"
    handoff.refusal = Refusal(name: "x\u{202E}y", sentence: "a\tb\u{7}", by: .source)
    let text = picture(handoff)
    #expect(!text.contains("\u{1B}"))
    #expect(!text.contains("\u{202E}"))
    #expect(text.contains("build 1.0?[2J?handoff 9"))
    #expect(text.contains("x?y (source): a?b?"))
  }

  @Test("is coloured only where that is wanted")
  func color() {
    let colored = TimelinePicture(committed, style: PictureStyle(color: true)).lines(width: 80)
    let plain = TimelinePicture(committed, style: PictureStyle()).lines(width: 80)
    #expect(colored.joined().contains("\u{1B}[31m"))
    #expect(!plain.joined().contains("\u{1B}"))
    #expect(colored.count == plain.count)
  }
}
