import RegistryInterface

/// An open migration, and what asking the other side makes of it.
///
/// Pure: the guest as its registry knows it and the sidecar's words in, a question and a sentence out.
struct Settlement: Hashable {
  let guest: String
  let migration: Migration
  /// Where the other side is.
  let peer: String
  private let before: Guest

  /// How it was settled.
  struct Result: Hashable {
    /// One line for people.
    let sentence: String
    let end: MigrationEnd
    /// Whether this host's registry has to be told yet that the guest stays where it came from.
    var isCancellation = false
  }

  /// - Parameters:
  ///   - guest: As this host's registry knows it.
  ///   - peer: The other host, if the name that the registry has is not the one to ask.
  /// - Throws: When there is nothing to settle.
  init(_ guest: Guest, peer: RemoteHost?) throws(CommandFailure) {
    guard let migration = guest.migration, migration.outcome == .inProgress, !migration.planOnly else {
      throw CommandFailure(
        "nothing to settle", cause: "no migration of \(guest.name) is open", guestState: guest.state.clause,
        remedy: "see batonctl show \(guest.name)", status: .nothingToAbort)
    }
    switch (migration.role, guest.state) {
    case (.source, .running), (.source, .preparing):
      guard guest.alarm != nil else {
        throw CommandFailure(
          "nothing to settle", cause: "the migration to \(migration.peer) is under way",
          guestState: MigrationLimits.runsHere,
          remedy: "follow it with batonctl watch \(guest.name), or end it with batonctl abort \(guest.name)",
          status: .handoffInProgress)
      }
    case (_, .lost), (_, .ended):
      throw CommandFailure(
        "nothing to settle", cause: guest.endSentence ?? guest.state.clause, guestState: guest.state.clause,
        status: CommandStatus(state: guest.state))
    case (.source, _), (.target, _): break
    }
    self.guest = guest.name
    self.migration = migration
    self.peer = peer?.description ?? migration.peer
    before = guest
  }

  /// The line for this host's baton-remote, which asks the other side and tells both registries.
  var question: String {
    switch migration.role {
    case .source: "settle \(peer) \(guest) \(migration.id)"
    case .target: "departure \(peer) \(guest) \(migration.id)"
    }
  }

  /// What the answer means.
  ///
  /// - Parameter words: What stood after `ok`.
  func result(_ words: [Substring]) throws(CommandFailure) -> Result {
    guard words.count >= 2, let departure = DepartureState(rawValue: String(words[0])),
      let arrival = ArrivalState(rawValue: String(words[1]))
    else { throw notUnderstood(words) }
    return switch migration.role {
    case .source: try atSource(departure, arrival)
    case .target: try atTarget(departure, arrival, isConfirmed: words.dropFirst(2).first != "unconfirmed")
    }
  }

  private func atSource(_ departure: DepartureState, _ arrival: ArrivalState) throws(CommandFailure) -> Result
  {
    switch (departure, arrival) {
    case (_, .running):
      return Result(sentence: "it runs on \(peer); both registries know it now", end: .moved)
    case (.stays, .arriving), (.stays, .arrived):
      return Result(
        sentence: "it stays here; what came to \(peer) is let go there with: batonctl settle \(guest)",
        end: .stayed)
    case (.stays, .over), (.stays, .unknown): return Result(sentence: "it stays here", end: .stayed)
    case (.departed, .arriving), (.departed, .arrived):
      throw waits(
        "\(peer) has it and does not run it yet (\(arrival.rawValue))",
        remedy: "look at its VMM on \(peer), then run: batonctl settle \(guest)")
    case (.departed, .over):
      throw CommandFailure(
        "guest is lost",
        cause: "it was given up here, and its VMM on \(peer) ended before it could run there",
        guestState: before.state.clause,
        remedy: "start it anew from its disk after: batonctl settle \(guest) --lost", status: .guestLost)
    case (.departed, .unknown):
      throw waits(
        "it was given up here, and \(peer) knows nothing of it",
        remedy:
          "look for its VMM on \(peer), or name another host with --peer; when it is certain that nobody "
          + "has it, run: batonctl settle \(guest) --lost")
    case (.undecided, _):
      throw waits(
        "its VMM was asked to give it up and has not answered",
        remedy: before.alarm.flatMap { $0.command.hasPrefix("batonctl settle") ? nil : "run: \($0.command)" }
          ?? before.owner.map {
            "wait for process \($0.processId), or end it: the guest then is \(peer)'s; then settle again"
          } ?? "run it again in a moment")
    case (.unknown, _):
      throw waits(
        "the registry of this host does not know the migration any more",
        remedy: "ask on \(peer): batonctl settle \(guest)")
    }
  }

  /// - Parameters:
  ///   - arrival: What this host's registry says after it was given what the other one had.
  ///   - isConfirmed: Whether the other host's registry knows that it runs here.
  private func atTarget(
    _ departure: DepartureState, _ arrival: ArrivalState, isConfirmed: Bool
  ) throws(CommandFailure) -> Result {
    switch (departure, arrival) {
    case (_, .running):
      let rest =
        isConfirmed
        ? "both registries know it now" : "\(peer) could not be told: run there batonctl settle \(guest)"
      return Result(sentence: "it runs here now; \(rest)", end: .moved)
    case (.departed, .arrived), (.departed, .arriving):
      throw waits(
        "\(peer) has given it up, and its VMM here does not run it yet (\(arrival.rawValue))",
        remedy:
          "look at its VMM with batonctl show \(guest), then run it again; if \(peer) has thrown its receipt "
          + "away, what came here cannot run: batonctl settle \(guest) --stays")
    case (.departed, .over):
      throw CommandFailure(
        "guest is lost",
        cause: "\(peer) has given it up, and its VMM here ended before it could run",
        guestState: before.state.clause, remedy: "start it anew from its disk", status: .guestLost)
    case (.departed, .unknown):
      throw waits(
        "\(peer) has given it up, and the registry of this host does not know the migration any more",
        remedy: "look for its VMM here, and ask on \(peer): batonctl settle \(guest)")
    case (.stays, _):
      return Result(
        sentence: "\(peer) kept it; what came here was let go", end: .stayed, isCancellation: true)
    case (.undecided, _):
      throw waits(
        "\(peer) has not given it up yet", remedy: "wait, or run on \(peer): batonctl settle \(guest)")
    case (.unknown, _):
      throw waits(
        "\(peer) knows nothing of this migration",
        remedy: "look whether \(guest) runs on \(peer); when what came here is not wanted, run: "
          + "batonctl settle \(guest) --stays")
    }
  }

  /// The other side could not be asked, so that the guest goes on waiting.
  func unasked(_ failure: CommandFailure) -> CommandFailure {
    var failure = failure
    failure.guestState = before.state.clause
    if failure.status != .notAllowed { failure.status = .guestWaits }
    return failure
  }

  private func waits(_ cause: String, remedy: String) -> CommandFailure {
    CommandFailure(
      "not settled", cause: cause, guestState: before.state.clause, remedy: remedy, status: .guestWaits)
  }

  private func notUnderstood(_ words: [Substring]) -> CommandFailure {
    CommandFailure(
      "answer was not understood",
      cause: "baton-remote said 'ok \(words.joined(separator: " ").prefix(100))'",
      guestState: before.state.clause, remedy: "compare the versions of batonctl and baton-remote",
      status: .guestWaits)
  }
}
