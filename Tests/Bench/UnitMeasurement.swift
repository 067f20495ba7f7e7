import Harness
import LinuxOS

/// What is measured with the installed units, under the systemd that runs here.
struct UnitMeasurement {
  let workspace: Workspace

  private static let varlinkSocket = "/run/baton/varlink"

  func measure(_ plan: BenchPlan.Units) throws -> Results.Units {
    let systemctl = Systemctl(workspace: workspace)
    try Files.makeDirectory("/etc/baton", mode: 0o755)
    try Files.makeDirectory("/etc/baton/guests", mode: 0o755)
    // The memlock limit cannot be raised here, and the units' VMMs have no capability.
    try Files.open("/etc/baton/sevmodeld.conf", .createReadWrite).write(
      Array("SEVMODELD_OPTIONS=--no-memlock\n".utf8), at: 0)
    try systemctl.run("start", "batond.socket", "batond-handoff.socket", "sevmodeld.socket")

    var results = Results.Units()
    attempt("first answer", &results) { $0.firstAnswer = try firstAnswer(plan.starts, systemctl) }
    attempt("side by side", &results) { results in
      for size in plan.sideBySide { results.sideBySide.append(try sideBySide(size, systemctl)) }
    }
    attempt("in place", &results) { results in
      for size in plan.inPlace { results.inPlace.append(try inPlace(size)) }
    }
    return results
  }

  private func attempt(
    _ name: String, _ results: inout Results.Units, _ body: (inout Results.Units) throws -> Void
  ) {
    do {
      try body(&results)
    } catch {
      results.failures.append("\(name): \(error)")
    }
  }

  /// batond is started by the call that it answers.
  private func firstAnswer(_ count: Int, _ systemctl: Systemctl) throws -> Figures? {
    var answers = Distribution()
    for _ in 0..<count {
      try systemctl.run("stop", "batond.service")
      // systemd takes a socket for broken that is activated twenty times within two seconds.
      Wait.pause(milliseconds: 150)
      let begin = MonotonicClock.now()
      _ = try RegistryClient(path: Self.varlinkSocket).guests()
      answers.record(nanoseconds: MonotonicClock.now() - begin)
    }
    return answers.figures
  }

  /// Bare processes and units in turns, with a registry and a model of their own each.
  private func sideBySide(_ size: BenchPlan.Size, _ systemctl: Systemctl) throws -> Results.SideBySide {
    // A fresh one has measured nothing yet.
    try systemctl.run("restart", "batond.service")
    let model = try workspace.startModel()
    let registry = try workspace.startRegistry()
    var bare = Distribution()
    var units = Distribution()
    for block in 0..<size.blocks {
      let count = size.handoffs * (block + 1) / size.blocks - size.handoffs * block / size.blocks
      Progress.say("\(size.name), block \(block + 1) of \(size.blocks): \(count) handoffs of bare processes")
      let chain = try GuestChain(
        GuestSetup(name: "bare-\(size.ramMebibytes)-\(block)", ramMebibytes: size.ramMebibytes), workspace)
      for _ in 0..<count { bare.record(nanoseconds: try chain.handOver()) }
      try chain.end()
      Progress.say("\(size.name), block \(block + 1) of \(size.blocks): \(count) handoffs of units")
      let guest = try UnitGuest(
        "units-\(size.ramMebibytes)-\(block)", ramMebibytes: size.ramMebibytes, workspace)
      for _ in 0..<count { units.record(nanoseconds: try guest.startOtherSlot()) }
      try guest.end()
    }
    let barePhases = try RegistryPhases.read(workspace, socket: workspace.varlinkSocket)
    let unitPhases = try RegistryPhases.read(workspace, socket: Self.varlinkSocket)
    registry.kill()
    model.kill()
    guard let bareFigures = bare.figures, let unitFigures = units.figures else {
      throw BenchError("no handoff was wanted")
    }
    return Results.SideBySide(
      ramMebibytes: size.ramMebibytes, bare: bareFigures, units: unitFigures, barePhases: barePhases,
      unitPhases: unitPhases)
  }

  private func inPlace(_ size: BenchPlan.Size) throws -> Results.InPlace {
    Progress.say("\(size.name): \(size.handoffs) restarts in place")
    let guest = try UnitGuest("restart-\(size.ramMebibytes)", ramMebibytes: size.ramMebibytes, workspace)
    var blackout = Distribution()
    var parts = UnitGuest.partNames.map { _ in Distribution() }
    for _ in 0..<size.handoffs {
      let restart = try guest.restart()
      blackout.record(nanoseconds: restart.blackout)
      for (index, duration) in restart.parts.enumerated() { parts[index].record(nanoseconds: duration) }
    }
    try guest.end()
    guard let figures = blackout.figures else { throw BenchError("no restart was wanted") }
    return Results.InPlace(
      ramMebibytes: size.ramMebibytes, blackout: figures,
      parts: zip(UnitGuest.partNames, parts).compactMap { name, part in
        part.figures.map { Results.Phase(name: name, figures: $0) }
      })
  }
}
