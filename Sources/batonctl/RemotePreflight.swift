import RegistryInterface

/// The checks of a migration, made by asking the other host for a plan.
///
/// Pure: the registry's last word in, checks out.
struct RemotePreflight: Encodable {
  let guest: String
  let host: String
  let verdict: CheckVerdict
  let checks: [Check]
  /// The plan's figures, if it came to a plan.
  let plan: MigrationProgress?

  init(_ migration: Migration, _ guest: Guest, limits: MigrationLimits) {
    self.guest = guest.name
    host = migration.peer
    var checks = migration.progress?.checks ?? []
    if migration.outcome == .planned {
      var plan = migration.progress
      plan?.checks = nil
      self.plan = plan
      if let plan, !checks.contains(where: { $0.name == "convergence" }) {
        checks.append(Self.convergence(plan, limits))
      }
    } else {
      plan = nil
      // What ended it may be no check of its own.
      let name = migration.refusal?.name ?? "plan"
      if !checks.contains(where: { $0.verdict == .fail }) {
        checks.append(
          Self.check(
            name, .fail, migration.refusal.map(MigrationEnd.cause) ?? "there is no plan",
            remedy: MigrationEnd.remedy(migration.refusal?.name, host: migration.peer)))
      }
    }
    self.checks = checks
    verdict = CheckVerdict.worst(of: checks)
  }

  private static func convergence(_ plan: MigrationProgress, _ limits: MigrationLimits) -> Check {
    var bare = plan
    bare.checks = nil
    if let obstacle = limits.obstacle(bare) {
      return check("convergence", .fail, obstacle.cause, remedy: obstacle.remedy)
    }
    return check(
      "convergence", .pass,
      "would take \(MigrationText.rough(milliseconds: plan.expectedMilliseconds)), with a pause of "
        + MigrationText.rough(milliseconds: plan.expectedPauseMilliseconds), remedy: nil)
  }

  /// A check by a name that the local preflight does not have.
  private static func check(_ name: String, _ verdict: CheckVerdict, _ detail: String, remedy: String?)
    -> Check
  {
    var check = Check(.owner, verdict, detail, remedy: remedy)
    check.name = name
    return check
  }
}
