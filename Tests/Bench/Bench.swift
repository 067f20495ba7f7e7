/// Runs the chosen parts one after the other.
struct Bench {
  let plan: BenchPlan
  let parts: Set<Part>
  let workspace: Workspace

  func run() throws -> Results {
    var results = try Results(host: .now())
    let model = try workspace.startModel()
    let comparison = BlackoutComparison(workspace: workspace)
    if parts.contains(.blackout) {
      results.comparisons = try plan.sizes.compactMap { try comparison.measure($0) }
    }
    if parts.contains(.kvm) { results.realVCPUs = try comparison.measureReal(plan.kvm) }
    if parts.contains(.rolling) {
      results.rolling = try RollingUpgrade(workspace: workspace).measure(
        guests: plan.rollingGuests, parallel: plan.rollingParallel)
    }
    if parts.contains(.memory) {
      results.memory = try RegistryMemory(workspace: workspace).measure(guests: plan.registeredGuests)
    }
    if parts.contains(.model) {
      results.model = try ModelSpeed(workspace: workspace).measure(
        roundTrips: plan.modelRoundTrips, pages: plan.modelPages)
    }
    results.host.loadAfter = try Host.load()
    model.kill()
    return results
  }
}
