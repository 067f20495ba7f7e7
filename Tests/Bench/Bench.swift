/// Runs the chosen parts one after the other.
struct Bench {
  let plan: BenchPlan
  let parts: Set<Part>
  let workspace: Workspace
  /// The options that made the plan what it is.
  let restrictions: [String]

  /// What could not be measured is told in the results.
  func run() throws -> Results {
    var results = try Results(host: .now())
    let model = try workspace.startModel()
    let comparison = BlackoutComparison(workspace: workspace)
    measure(.blackout, &results) { results in
      for size in plan.sizes where size.way == .token {
        if let measured = try comparison.measure(size) { results.comparisons.append(measured) }
      }
    }
    measure(.move, &results) { results in
      for size in plan.sizes where size.way == .move {
        if let measured = try comparison.measure(size) { results.comparisons.append(measured) }
      }
    }
    measure(.kvm, &results) { $0.realVCPUs = try comparison.measureReal(plan.kvm) }
    measure(.rolling, &results) {
      $0.rolling = try RollingUpgrade(workspace: workspace).measure(
        guests: plan.rollingGuests, parallel: plan.rollingParallel)
    }
    measure(.memory, &results) {
      $0.memory = try RegistryMemory(workspace: workspace).measure(guests: plan.registeredGuests)
    }
    measure(.model, &results) {
      $0.model = try ModelSpeed(workspace: workspace).measure(
        roundTrips: plan.modelRoundTrips, pages: plan.modelPages)
    }
    measure(.libbaton, &results) {
      $0.library = try LibraryComparison(workspace: workspace).measure(plan.library)
    }
    measure(.remote, &results) { $0.remote = try RemotePath(workspace: workspace).measure(plan.remote) }
    model.kill()
    measure(.migration, &results) { results in
      let measured = try MigrationMeasurement(workspace: workspace).measure(plan.migration)
      results.migration = measured
      results.failures += measured.failures.map { "migration: \($0)" }
    }
    measure(.systemd, &results) {
      let measured = try UnitContainer(workspace: workspace).measure(restrictions)
      $0.systemd = measured
      $0.failures += (measured.units?.failures ?? []).map { "systemd: \($0)" }
    }
    results.host.loadAfter = try Host.load()
    return results
  }

  /// A part that fails takes no figures of others along.
  private func measure(_ part: Part, _ results: inout Results, _ body: (inout Results) throws -> Void) {
    guard parts.contains(part) else { return }
    do {
      try body(&results)
    } catch {
      results.failures.append("\(part.rawValue): \(error)")
      Progress.say("\(part.rawValue) failed: \(error)")
    }
  }
}
