/// What moving a guest would come to: worked out before its first page is sent, and shown to whoever asked.
public struct MigrationPlan: Hashable, Sendable {
  /// What was measured.
  public let facts: MigrationFacts
  /// What is allowed.
  public let limits: MigrationLimits
  /// Rounds with the guest running.
  public let rounds: Int
  /// From the first page until the guest runs at the target.
  public let seconds: Double
  /// The pause at the end of it; when it does not converge the shortest that can be reached.
  public let pauseSeconds: Double
  /// Whether the pause comes below its limit.
  public let converges: Bool
  /// Why it must not be tried with these limits; nil when nothing speaks against it. With
  /// ``MigrationLimits/allowsNonconvergence`` it is tried nevertheless.
  public let obstacle: MigrationObstacle?

  /// Plays all rounds through.
  public init(_ facts: MigrationFacts, _ limits: MigrationLimits) {
    self.facts = facts
    self.limits = limits
    let forecast = Forecast.expect(
      sending: facts.pages, isFirst: true, spentSeconds: 0, facts: facts, slowness: 1,
      rule: StopRule(maxPauseSeconds: limits.maxPauseSeconds))
    rounds = forecast.rounds
    seconds = forecast.seconds
    pauseSeconds = forecast.pauseSeconds
    converges = forecast.converges
    if !forecast.converges {
      obstacle = Forecast.obstacle(
        pauseSeconds: forecast.pauseSeconds, facts: facts, limits: limits, slowness: 1)
    } else if let most = limits.maxSeconds, forecast.seconds > most {
      obstacle = .takesTooLong(seconds: forecast.seconds, maxSeconds: most)
    } else {
      obstacle = nil
    }
  }

  /// Whether it is to be tried.
  public var isAcceptable: Bool { obstacle == nil || limits.allowsNonconvergence }

  /// The plan for people: what there is to move, what the path moves, what the guest writes, what it comes to.
  public var sentences: [String] { [pagesSentence, paceSentence, dirtySentence, endSentence] }

  /// ``sentences``, one a line, at most 512 bytes.
  public var text: String {
    var text = sentences.joined(separator: "\n")
    while text.utf8.count > 512 { text.removeLast() }
    return text
  }

  private var pagesSentence: String {
    let pages = facts.pages
    let kinds = [(pages.encrypted, "encrypted"), (pages.plain, "plain"), (pages.zero, "zero")]
      .filter { $0.0 > 0 }.map { "\(PlanText.count($0.0)) \($0.1)" }
    return "\(PlanText.count(pages.total)) pages\(kinds.isEmpty ? "" : ": \(kinds.joined(separator: ", "))")"
  }

  private var paceSentence: String {
    let rates = facts.rates
    var parts: [String] = []
    if facts.pages.encrypted > 0, let rate = rates.encryptedPagesPerSecond {
      parts.append("the devices move \(PlanText.count(rate)) pages/s")
    }
    if let link = rates.linkBytesPerSecond {
      parts.append("the link carries \(PlanText.bytesPerSecond(link))")
    }
    if rates.bandwidthBytesPerSecond > 0 {
      parts.append("the limit is \(PlanText.bytesPerSecond(Double(rates.bandwidthBytesPerSecond)))")
    }
    guard !parts.isEmpty else { return "what the path moves is not known" }
    let isDevice = facts.pages.encrypted > 0 && rates.isLimitedByDevice
    return parts.joined(separator: ", ") + (isDevice ? "; the devices set the pace" : "")
  }

  private var dirtySentence: String {
    guard facts.dirty.hasSamples else { return "what the guest writes was not measured" }
    let pages = facts.dirty.pagesPerSecond
    guard pages >= 0.5 else { return "the guest writes nothing" }
    let set = facts.dirty.workingSetPages.map { ", about \(PlanText.count($0)) again and again" } ?? ""
    return "the guest writes \(PlanText.count(pages)) pages/s\(set)"
  }

  private var endSentence: String {
    if let obstacle { return obstacle.sentence }
    return "\(rounds) \(rounds == 1 ? "round" : "rounds"), \(PlanText.duration(seconds)) in all, "
      + "with a pause of \(PlanText.duration(pauseSeconds))"
  }
}
