import RegistryInterface

/// One guest in the report of a run.
struct GuestReport: Encodable {
  let guest: String
  let end: GuestEnd
  let exitStatus: Int32
  /// Why it is not at a new owner.
  var reason: String?
  /// What to do about it.
  var remedy: String?
  /// Where it stands, by what the registry says after the run.
  var state: GuestState?
  var epoch: UInt64?
  var slot: Slot?
  var owner: VMMProcess?
  var handoff: UInt64?
  var durationMicroseconds: UInt64?
  var blackoutMicroseconds: UInt64?

  /// - Parameter after: The guest after the run; nil when the registry does not know or tell it.
  init(_ attempt: UpgradeEnd, after: Guest?) {
    let failure = attempt.failure
    let handoff = attempt.handoff
    guest = attempt.guest
    end = GuestEnd(attempt, after: after)
    exitStatus = end.status(failure).rawValue
    state = after?.state
    epoch = after?.epoch
    slot = after?.slot
    owner = after?.owner
    self.handoff = handoff?.number ?? (end == .upgraded ? after?.lastHandoff : nil)
    durationMicroseconds = handoff?.durationMicroseconds
    blackoutMicroseconds =
      handoff?.blackoutMicroseconds ?? (end == .upgraded ? after?.lastBlackoutMicroseconds : nil)
    let seen = failure.map { "\($0.whatFailed): \($0.cause)" }
    switch end {
    case .upgraded: break
    case .stayed:
      reason = seen ?? "no handoff went through"
      remedy = failure?.remedy
    case .waiting:
      reason = seen ?? after?.alarm?.sentence ?? after?.state.clause
      remedy = after?.alarm?.command ?? "batonctl show \(guest)"
    case .lost, .ended:
      reason =
        after?.endSentence ?? Self.departure(after) ?? seen
        ?? (end == .ended ? "another guest has its name now" : nil)
    case .unknown:
      reason = seen ?? "the registry does not know it any more"
      remedy = "see batonctl show \(guest)"
    case .notTried: reason = "the failure limit was reached"
    }
  }

  private static func departure(_ guest: Guest?) -> String? {
    guard let guest, guest.state == .departed, let migration = guest.migration else { return nil }
    return "it was moved to \(migration.peer)"
  }
}

/// The report of a run: every guest's end.
struct UpgradeReport {
  let guests: [GuestReport]

  /// - Parameters:
  ///   - order: The guests in the order of the run.
  ///   - after: What the registry says after it.
  init(_ attempts: [UpgradeEnd], order: [String], after: [String: Guest]) {
    let places = Dictionary(order.enumerated().map { ($1, $0) }) { first, _ in first }
    guests =
      attempts
      .sorted { (places[$0.guest] ?? .max) < (places[$1.guest] ?? .max) }
      .map { GuestReport($0, after: after[$0.guest]) }
  }

  /// The worst of the guests' ends.
  var status: CommandStatus {
    CommandStatus.worst(of: guests.compactMap { CommandStatus(rawValue: $0.exitStatus) })
  }

  /// How many guests ended in each way.
  var counts: [GuestEnd: Int] { Dictionary(grouping: guests, by: \.end).mapValues(\.count) }

  /// `48 upgraded, 1 stayed with the old owner, 1 lost; blackout p50 312 µs, max 1.20 ms`
  func summary(unicode: Bool) -> String {
    let counts = counts
    let parts = GuestEnd.allCases.compactMap { end in counts[end].map { "\($0) \(end.summary)" } }
    var text = parts.joined(separator: ", ")
    let blackouts = guests.filter { $0.end == .upgraded }.compactMap(\.blackoutMicroseconds).sorted()
    if let longest = blackouts.last {
      let median = PlainText.duration(microseconds: blackouts[(blackouts.count - 1) / 2], unicode: unicode)
      text += "; blackout p50 \(median), max \(PlainText.duration(microseconds: longest, unicode: unicode))"
    }
    return text
  }

  /// The report for people: a table, and what to do about what went wrong.
  func lines(width: Int?, style: PictureStyle) -> [String] {
    guard !guests.isEmpty else { return ["no guests"] }
    func duration(_ value: UInt64?) -> TextTable.Cell {
      .init(value.map { PlainText.duration(microseconds: $0, unicode: style.unicode) } ?? "-")
    }
    var table = TextTable([
      .init("GUEST"), .init("END"), .init("SLOT"), .init("EPOCH", numeric: true),
      .init("HANDOFF", numeric: true), .init("TOOK", numeric: true), .init("BLACKOUT", numeric: true),
    ])
    for guest in guests {
      table.append([
        .init(guest.guest), .init(guest.end.words, guest.end.color), .init(guest.slot?.rawValue ?? "-"),
        .init(guest.epoch.map { "\($0)" } ?? "-"), .init(guest.handoff.map { "\($0)" } ?? "-"),
        duration(guest.durationMicroseconds), duration(guest.blackoutMicroseconds),
      ])
    }
    var lines = table.lines(width: width, style: style)
    // What was not tried for the limit's sake has no reason of its own.
    let explained = guests.filter { $0.reason != nil && $0.end != .notTried }
    if !explained.isEmpty { lines.append("") }
    for guest in explained {
      let text = PlainText.clean("\(guest.guest): \(guest.reason ?? "")")
      lines += TextTable.wrap(text, width.map { max(20, $0 - 2) } ?? .max).enumerated().map {
        $0 == 0 ? $1 : "  \($1)"
      }
      // Alone on its line, so that it can be copied.
      if let remedy = guest.remedy { lines.append(PlainText.clean("  \(remedy)")) }
    }
    return lines + ["", summary(unicode: style.unicode)]
  }
}
