import LinuxOS

/// Whole migrations between two hosts on this machine, driven by `batonctl migrate`: plain guests beside other programs'
/// streams, a SEV guest of the model beside its cryptography, and a device as slow as real ones.
struct MigrationMeasurement {
  let workspace: Workspace
  /// For the sidecars, and the next one for the other programs.
  private let port = 20_000 + Int(ThisProcess.pid) % 10_000 + 10

  init(workspace: Workspace) { self.workspace = workspace }

  /// What could not be measured is told in the results.
  func measure(_ plan: BenchPlan.Migration) throws -> Results.Migration {
    try RemoteTools(workspace: workspace, port: port + 2).makeCertificate()
    var results = Results.Migration()
    func part(_ name: String, _ body: () throws -> Void) {
      do {
        try body()
      } catch {
        results.failures.append("\(name): \(error)")
        Progress.say("migration, \(name) failed: \(error)")
      }
    }
    for size in plan.plain {
      part(size.name) {
        var failures: [String] = []
        defer { results.failures += failures }
        if let measured = try plain(size, &failures) { results.plain.append(measured) }
      }
    }
    if let plan = plan.encrypted { part("SEV guest") { results.encrypted = try encrypted(plan) } }
    if let plan = plan.throttled { part("throttled device") { results.throttled = try throttled(plan) } }
    return results
  }

  /// Two hosts with fresh folders, which are ended afterwards.
  private func withHosts<Result>(
    _ name: String, model: [String]?, _ body: ([MigrationHost]) throws -> Result
  ) throws -> Result {
    let north = try MigrationHost("\(name)-north", port: port, model: model, workspace)
    defer { north.kill() }
    let south = try MigrationHost("\(name)-south", port: port + 1, model: model, workspace)
    defer { south.kill() }
    return try body([north, south])
  }

  // MARK: Plain guests

  /// - Parameter failures: Gets what went wrong with other programs' streams: they take no figures of ours along.
  /// - Returns: nil when the machine has not enough memory for this size.
  private func plain(
    _ size: BenchPlan.Migration.Size, _ failures: inout [String]
  ) throws -> Results.Migration.Plain? {
    let free = try AvailableMemory.byteCount() >> 20
    guard free > UInt64(2 * size.ramMebibytes + 768) else {
      Progress.say(
        "migration of \(size.name) is left out: only \(free) MiB of memory are free")
      return nil
    }
    let isIdle = size.busyMebibytes == nil
    return try withHosts("plain-\(size.ramMebibytes)\(isIdle ? "" : "-busy")", model: nil) { hosts in
      Progress.say("migration: a plain guest of \(size.name) writes its memory")
      let guest = try MigrationGuest(
        MigrationGuestSetup(
          name: "bench-plain-\(size.ramMebibytes)", ramMebibytes: size.ramMebibytes,
          dutyPercent: size.dutyPercent, workingSet: size.busyMebibytes.map { "\($0)M" }), hosts, workspace)
      // Nothing of this one counts: the guest works with all its might, and is slow from then on.
      _ = try guest.migrate(["--max-pause", "600000", "--allow-nonconvergence"], seconds: 600)
      var series = MigrationSeries()
      var streams = OtherStreams()
      for number in 1...size.migrations {
        Progress.say("migration of \(size.name), \(number) of \(size.migrations)")
        series.add(try guest.migrate(seconds: 600, onQuietMachine: isIdle))
        guard size.streamMebibytes > 0 else { continue }
        do {
          try stream(size.streamMebibytes, &streams)
        } catch {
          failures.append("other programs' streams beside \(size.name): \(error)")
        }
      }
      try guest.end()
      guard let path = series.perGibibyte.figures, let pause = series.pause.figures else { return nil }
      return Results.Migration.Plain(
        name: size.name, ramMebibytes: size.ramMebibytes, path: path, openSSL: streams.openSSL.figures,
        socat: streams.socat.figures, iperf3: streams.iperf3.figures, pause: pause,
        processorSecondsPerGibibyte: series.processorSecondsPerGibibyte, forecasts: series.forecasts,
        vmmByteCount: guest.largestByteCount,
        sidecarByteCounts: try hosts.map { try $0.sidecar.largestResidentByteCount() })
    }
  }

  /// The same number of bytes by the other programs.
  private func stream(
    _ mebibytes: Int, _ streams: inout OtherStreams
  ) throws {
    let tools = RemoteTools(workspace: workspace, port: port + 2)
    if let time = try tools.openSSL(mebibytes: mebibytes) {
      streams.openSSL.record(nanoseconds: time * 1024 / UInt64(mebibytes))
    }
    if let time = try tools.socat(mebibytes: mebibytes) {
      streams.socat.record(nanoseconds: time * 1024 / UInt64(mebibytes))
    }
    if let time = try tools.iperf3(mebibytes: mebibytes) {
      streams.iperf3.record(nanoseconds: time * 1024 / UInt64(mebibytes))
    }
  }

  // MARK: SEV guests

  private func encrypted(_ plan: BenchPlan.Migration.Encrypted) throws -> Results.Migration.Encrypted? {
    try withHosts("sev", model: []) { hosts in
      Progress.say("migration: a SEV guest of \(plan.ramMebibytes) MiB writes its memory")
      let guest = try MigrationGuest(
        MigrationGuestSetup(
          name: "bench-sev", ramMebibytes: plan.ramMebibytes, sev: "model", firstDutyPercent: 10,
          dutyPercent: 10, workingSet: "1M"), hosts, workspace)
      var series = MigrationSeries()
      var possible: [Results.Pages] = []
      for number in 1...plan.migrations {
        Progress.say("migration of a SEV guest, \(number) of \(plan.migrations)")
        possible.append(try PacketSpeed.measure(pages: plan.pages))
        series.add(try guest.migrate(["--max-pause", "5000"], seconds: 1200))
      }
      try guest.end()
      guard let pause = series.pause.figures else { return nil }
      return Results.Migration.Encrypted(
        ramMebibytes: plan.ramMebibytes, pagesPerSecond: series.pagesPerSecond, possible: possible,
        pause: pause, processorSecondsPerGibibyte: series.processorSecondsPerGibibyte,
        forecasts: series.forecasts)
    }
  }

  private func throttled(_ plan: BenchPlan.Migration.Throttled) throws -> Results.Migration.Throttled {
    try withHosts("slow", model: ["--pages-per-second", "\(plan.pagesPerSecond)"]) { hosts in
      Progress.say(
        "migration with a device of \(plan.pagesPerSecond) pages a second: \(plan.ramMebibytes) MiB")
      let quiet = try MigrationGuest(
        MigrationGuestSetup(
          name: "bench-quiet", ramMebibytes: plan.ramMebibytes, sev: "model", dutyPercent: 10,
          workingSet: "128K"), hosts, workspace)
      var series = MigrationSeries()
      for number in 1...plan.migrations {
        Progress.say("migration with that device, \(number) of \(plan.migrations)")
        series.add(try quiet.migrate(["--max-pause", "5000"], seconds: 1200))
      }
      try quiet.end()
      Progress.say("migration with that device: a guest that writes faster")
      let busy = try MigrationGuest(
        MigrationGuestSetup(
          name: "bench-busy", ramMebibytes: plan.ramMebibytes, sev: "model", dutyPercent: 100), hosts,
        workspace)
      let refused = try busy.askForRefusal(seconds: 600)
      try busy.end()
      guard let foretold = refused.plan else { throw BenchError("there is no plan for the busy guest") }
      return Results.Migration.Throttled(
        pagesPerSecond: plan.pagesPerSecond, ramMebibytes: plan.ramMebibytes,
        forecasts: series.forecasts, dirtyPagesPerSecond: foretold.dirtyPagesPerSecond,
        movedPagesPerSecond: foretold.pagesPerSecond,
        isRefused: !foretold.willConverge && refused.end.exitStatus.map { $0 != 0 } ?? false,
        refusal: refused.end.error)
    }
  }
}

/// What other programs made of the same number of bytes.
private struct OtherStreams {
  var openSSL = Distribution()
  var socat = Distribution()
  var iperf3 = Distribution()
}

/// Several migrations of one guest.
private struct MigrationSeries {
  var perGibibyte = Distribution()
  var pause = Distribution()
  var pagesPerSecond: [Double] = []
  var forecasts: [Results.Migration.Forecast] = []
  private var processorSeconds = 0.0
  /// The plan's measuring costs time on processors too.
  private var byteCount: UInt64 = 0

  mutating func add(_ journey: MigrationGuest.Journey) {
    let milliseconds = max(1, journey.realMilliseconds)
    // Of what passed, so that pages of zeros, of which only the number goes, make no rate better.
    perGibibyte.record(
      nanoseconds: UInt64(Double(milliseconds) * 1e6 * 1_073_741_824 / Double(max(1, journey.bytes))))
    pause.record(nanoseconds: journey.realPauseMicroseconds * 1000)
    pagesPerSecond.append(Double(journey.pages) * 1000 / Double(milliseconds))
    forecasts.append(Results.Migration.Forecast(journey))
    processorSeconds += journey.processorSeconds
    byteCount += journey.bytes + journey.planBytes
  }

  var processorSecondsPerGibibyte: Double { processorSeconds * 1_073_741_824 / Double(max(1, byteCount)) }
}
