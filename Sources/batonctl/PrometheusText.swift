import RegistryInterface

/// Metrics in the text format of Prometheus, version 0.0.4: base units, one prefix, `_total` for what only grows.
///
/// No guest is a label: names come and go, and each would be a time series for ever.
struct PrometheusText {
  private(set) var lines: [String] = []

  /// The whole text, with its last line end.
  var text: String { lines.map { "\($0)\n" }.joined() }

  init(_ reply: MetricsReply) {
    let counters = reply.counters
    about(reply)
    guests(counters)
    handoffs(counters)
    migrations(counters)
    custody(counters)
    traffic(counters)
    histograms(reply.histograms)
  }

  // MARK: Families

  private enum Kind: String { case gauge, counter, histogram }

  private mutating func about(_ reply: MetricsReply) {
    if let build = reply.build {
      family("build_info", .gauge, "The registry's program; always 1.") {
        [(["version": build.version, "build_id": build.buildId ?? ""], "1")]
      }
    }
    if let start = reply.counters.startedRealtimeMicroseconds {
      single(
        "start_time_seconds", .gauge, "When the registry started, in seconds since 1970.", Self.seconds(start)
      )
    }
    single(
      "resident_memory_bytes", .gauge, "Resident memory of the registry.", "\(reply.counters.residentBytes)")
  }

  private mutating func guests(_ counters: Counters) {
    if let states = counters.guestsByState {
      family("guests", .gauge, "Guests that the registry knows, by state.") {
        states.sorted { $0.key < $1.key }.map { (["state": $0.key], "\($0.value)") }
      }
    }
    single("guests_in_handoff", .gauge, "Guests with a handoff under way.", "\(counters.guestsInHandoff)")
    single("guests_registered_total", .counter, "Guests that were registered.", counters.guestsRegistered)
    single("guests_ended_total", .counter, "Guests that ended with their VMM.", counters.guestsEnded)
    single("alarms", .gauge, "Guests that wait for a person.", "\(counters.alarms)")
    single("alarms_raised_total", .counter, "Alarms that were raised.", counters.alarmsRaised)
    single("barred_slots", .gauge, "Slots that are refused until an operator asks.", counters.slotsBarred)
    single("slots_barred_total", .counter, "Slots that came to be refused.", counters.slotsBarredTotal)
    single(
      "fenced_processes_total", .counter, "Processes that the fence had to end.", counters.fencedProcesses)
  }

  private mutating func handoffs(_ counters: Counters) {
    single("handoffs_started_total", .counter, "Handoffs that were started.", counters.handoffsStarted)
    single(
      "handoffs_parked_total", .counter, "Handoffs that began because the owner asked to be replaced.",
      counters.handoffsParked)
    family("handoffs_total", .counter, "Handoffs that ended, by outcome and reason.") {
      guard let attempts = counters.attempts else { return Self.outcomes(counters) }
      // Every outcome is there from the start, so that a rate can be made of the first one.
      let seen = Set(attempts.filter { $0.refusal == nil }.map(\.outcome))
      let missing = Outcome.allCases.filter { $0 != .inProgress && !seen.contains($0) }
      return (attempts + missing.map { AttemptCount(outcome: $0, count: 0) })
        .sorted { ($0.outcome.rawValue, $0.refusal ?? "") < ($1.outcome.rawValue, $1.refusal ?? "") }
        .map { (["outcome": $0.outcome.rawValue, "refusal": $0.refusal ?? ""], "\($0.count)") }
    }
    family("refusals_total", .counter, "Refusals by name, of handoffs and of connections.") {
      counters.refusals.sorted { $0.key < $1.key }.map { (["refusal": $0.key], "\($0.value)") }
    }
  }

  private mutating func migrations(_ counters: Counters) {
    family("migrations_total", .counter, "Migrations from and to this host, by what happened.") {
      let counts: [(String, UInt64?)] = [
        ("arrived", counters.migrationsArrived), ("arriving", counters.migrationsArriving),
        ("departed", counters.migrationsDeparted), ("failed", counters.migrationsFailed),
        ("planned", counters.migrationsPlanned), ("started", counters.migrationsStarted),
        ("stayed", counters.migrationsStayed),
      ]
      return counts.compactMap { event, count in count.map { (["event": event], "\($0)") } }
    }
  }

  /// What an older registry counts.
  private static func outcomes(_ counters: Counters) -> [(labels: [String: String], value: String)] {
    let counts: [(Outcome, UInt64)] = [
      (.aborted, counters.handoffsAborted), (.committed, counters.handoffsCommitted),
      (.ended, counters.handoffsEnded), (.lost, counters.handoffsLost),
      (.takenBack, counters.handoffsTakenBack),
    ]
    return counts.map { (["outcome": $0.rawValue, "refusal": ""], "\($1)") }
  }

  private mutating func custody(_ counters: Counters) {
    single("custody_descriptors", .gauge, "Descriptors in custody.", counters.custodyDescriptors)
    single(
      "store_descriptors", .gauge, "Descriptors in the service manager's store.", counters.storeDescriptors)
    single(
      "store_capacity_descriptors", .gauge, "Descriptors that the service manager's store takes.",
      counters.storeCapacity)
    single("journal_bytes", .gauge, "Used bytes of the journal.", counters.journalBytes)
    single("journal_capacity_bytes", .gauge, "Size of the journal's file.", counters.journalCapacityBytes)
    single(
      "journal_compactions_total", .counter, "Times the journal was rewritten.", counters.journalCompactions)
  }

  private mutating func traffic(_ counters: Counters) {
    family("connections", .gauge, "Connections that are open, by who is at the other end.") {
      [
        (["peer": "operator"], "\(counters.operatorConnections)"),
        (["peer": "vmm"], "\(counters.vmmConnections)"),
      ]
    }
    if let vmms = counters.vmmConnectionsTotal, let operators = counters.operatorConnectionsTotal {
      family("connections_accepted_total", .counter, "Connections that were accepted.") {
        [(["peer": "operator"], "\(operators)"), (["peer": "vmm"], "\(vmms)")]
      }
    }
    single("watches", .gauge, "Calls of Watch that are open.", counters.operatorWatches)
    single("records_received_total", .counter, "Records received from VMMs.", counters.recordsReceived)
    single("records_refused_total", .counter, "Records that broke the protocol.", counters.recordsRefused)
    single(
      "log_lines_dropped_total", .counter, "Log lines that were dropped because nobody read them.",
      counters.logLinesDropped)
  }

  private mutating func histograms(_ histograms: [LatencyHistogram]) {
    func named(_ name: String) -> [LatencyHistogram] { histograms.filter { $0.name == name } }
    histogram(
      "blackout_seconds", "From the last guest instruction on the source to the first on the successor.",
      named("blackout").map { ([:], $0) })
    histogram(
      "handoff_duration_seconds", "Whole handoffs that committed.", named("handoff").map { ([:], $0) })
    histogram(
      "phase_duration_seconds", "Phases of handoffs that committed.",
      PhaseName.allCases.flatMap { phase in named(phase.rawValue).map { (["phase": phase.rawValue], $0) } })
  }

  private mutating func histogram(
    _ name: String, _ help: String, _ members: [(labels: [String: String], value: LatencyHistogram)]
  ) {
    let members = members.filter { $0.value.buckets != nil }
    guard !members.isEmpty else { return }
    begin(name, .histogram, help)
    for (labels, value) in members {
      for bucket in value.buckets ?? [] {
        let bound = Self.seconds(bucket.upToMicroseconds)
        sample("\(name)_bucket", labels.merging(["le": bound]) { $1 }, "\(bucket.count)")
      }
      sample("\(name)_bucket", labels.merging(["le": "+Inf"]) { $1 }, "\(value.count)")
      sample("\(name)_sum", labels, Self.seconds(value.sumMicroseconds))
      sample("\(name)_count", labels, "\(value.count)")
    }
  }

  // MARK: Lines

  private mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: UInt64?) {
    if let value { single(name, kind, help, "\(value)") }
  }

  private mutating func single(_ name: String, _ kind: Kind, _ help: String, _ value: String) {
    family(name, kind, help) { [([:], value)] }
  }

  private mutating func family(
    _ name: String, _ kind: Kind, _ help: String,
    _ samples: () -> [(labels: [String: String], value: String)]
  ) {
    let samples = samples()
    guard !samples.isEmpty else { return }
    begin(name, kind, help)
    for (labels, value) in samples { sample(name, labels, value) }
  }

  private mutating func begin(_ name: String, _ kind: Kind, _ help: String) {
    lines.append("# HELP baton_\(name) \(help)")
    lines.append("# TYPE baton_\(name) \(kind.rawValue)")
  }

  private mutating func sample(_ name: String, _ labels: [String: String], _ value: String) {
    let text = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escape($0.value))\"" }
    lines.append("baton_\(name)" + (text.isEmpty ? "" : "{\(text.joined(separator: ","))}") + " \(value)")
  }

  /// Seconds without a rounding error: `0.000312`.
  static func seconds(_ microseconds: UInt64) -> String {
    let fraction = String(microseconds % 1_000_000)
    var text = "\(microseconds / 1_000_000).\(String(repeating: "0", count: 6 - fraction.count))\(fraction)"
    while text.hasSuffix("0") { text.removeLast() }
    return text.hasSuffix(".") ? String(text.dropLast()) : text
  }

  /// A label's value: backslash, quote and line end escaped.
  static func escape(_ text: String) -> String {
    text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
  }
}
