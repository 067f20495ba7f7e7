import ArgumentParser

/// What a migration may cost; the same for `migrate` and for `upgrade --fallback`.
struct MigrationOptions: ParsableArguments {
  @Flag(help: "Do not ask whether the plan is accepted.")
  var yes = false

  @Option(help: ArgumentHelp("How long the guest may stand still. Default: 300.", valueName: "milliseconds"))
  var maxPause: UInt32?

  @Option(help: ArgumentHelp("How long all of it may take. Default: no limit.", valueName: "seconds"))
  var maxTime: UInt32?

  @Option(
    help: ArgumentHelp(
      "How much may be sent in a second: bytes, or with K, M or G. Default: no limit.", valueName: "rate"))
  var bandwidth: ByteRate?

  @Flag(
    help: "Move the guest even if it would not converge: the pause is then as long as the plan says.")
  var allowNonconvergence = false

  func validate() throws {
    if maxPause == 0 { throw ValidationError("--max-pause is a number of milliseconds above 0") }
    if maxTime == 0 { throw ValidationError("--max-time is a number of seconds above 0") }
  }

  /// What was given, and what holds if nothing was.
  var limits: MigrationLimits {
    var limits = MigrationLimits()
    if let maxPause { limits.maxPauseMilliseconds = maxPause }
    limits.maxTimeSeconds = maxTime
    limits.bandwidthBytesPerSecond = bandwidth?.bytesPerSecond
    limits.allowsNonconvergence = allowNonconvergence
    return limits
  }

  /// Whether anything was given.
  var isGiven: Bool {
    yes || maxPause != nil || maxTime != nil || bandwidth != nil || allowNonconvergence
  }
}
