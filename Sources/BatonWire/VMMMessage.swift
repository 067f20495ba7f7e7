/// What a VMM says first on every connection.
public struct Hello: Hashable, Sendable {
  public var versions: ProtocolVersion
  public var guest: String
  public var standing: Standing
  /// What binary this is, for people: a build id, a version. At most 128 bytes.
  public var build: String
  /// What state it can read.
  public var reads: ReadableFormats
  /// What travels with the guest; present when this VMM is or may become its source.
  public var manifest: Manifest?

  public init(
    versions: ProtocolVersion = .spoken, guest: String, standing: Standing, build: String,
    reads: ReadableFormats, manifest: Manifest? = nil
  ) {
    self.versions = versions
    self.guest = guest
    self.standing = standing
    self.build = build
    self.reads = reads
    self.manifest = manifest
  }
}

/// One line of a preflight report: a check of design rule 10 and how it came out.
public struct PreflightCheck: Hashable, Sendable {
  public enum Verdict: UInt8, Hashable, Sendable, CaseIterable { case pass = 0, warn, fail, unknown }
  public var name: String
  public var verdict: Verdict
  public var detail: String
  public var remedy: String

  public init(name: String, verdict: Verdict, detail: String, remedy: String = "") {
    self.name = name
    self.verdict = verdict
    self.detail = detail
    self.remedy = remedy
  }
}

/// A message from a VMM to the registry.
public enum VMMMessage: Hashable, Sendable {
  case hello(Hello)
  /// The source's answer to prepare: RAM, empty state memfd, VM, named descriptors.
  case offer(handoff: UInt64, Manifest)
  /// The successor has checked and mapped the RAM and made VM and vCPUs.
  case ready(handoff: UInt64)
  /// The source gives the baton away. Carries the sealed state memfd.
  case stage(handoff: UInt64, Stage)
  /// The successor has the context and has restored the state.
  case received(handoff: UInt64)
  /// The successor does not go on: the baton is unused, or the kernel said that it was used.
  case refused(handoff: UInt64, used: Bool)
  /// The source has the context again and waits for the verdict.
  case tookBack(handoff: UInt64)
  /// The source could not take back: the baton was used.
  case used(handoff: UInt64)
  /// The source goes on; nothing was staged.
  case resumed(handoff: UInt64)
  /// The owner runs the guest. `firstInstruction` is `CLOCK_MONOTONIC` in nanoseconds, 0 if unknown.
  case running(epoch: UInt64, firstInstruction: UInt64)
  /// Source or successor cannot take part in this handoff; the guest runs on where it is.
  case declined(handoff: UInt64, Refusal, String)
  case preflightReport([PreflightCheck])
  /// The owner ends the guest for good.
  case ended(epoch: UInt64)
  /// The first owner says what it made, so that people see it before the first handoff.
  case described(Manifest)
  /// The process of this owner is about to be replaced: take the guest into custody until its successor comes.
  case park(epoch: UInt64)
  /// The guest stands still and the other host says that it has all of it: may the source give it up?
  case departing(MigrationID)
  /// The source has given the guest up, as it was ordered to.
  case departed(MigrationID)
  /// The migration is over and the guest did not leave.
  case stays(MigrationID, Refusal, String)
  /// Everything that came from the other host is restored.
  case arrived(MigrationID)
  /// The source's registry gave the guest up, and this shows it.
  case receipt(MigrationID, DepartureReceipt)
  /// How the migration stands, for people.
  case migrationReport(MigrationID, MigrationReport)
  /// The guest runs on the other host.
  case confirmed(MigrationID)

  /// The wire's type number.
  public var type: UInt16 {
    switch self {
    case .hello: 1
    case .offer: 2
    case .ready: 3
    case .stage: 4
    case .received: 5
    case .refused: 6
    case .tookBack: 7
    case .used: 8
    case .resumed: 9
    case .running: 10
    case .declined: 11
    case .preflightReport: 12
    case .ended: 13
    case .described: 14
    case .park: 15
    case .departing: 16
    case .departed: 17
    case .stays: 18
    case .arrived: 19
    case .receipt: 20
    case .migrationReport: 21
    case .confirmed: 22
    }
  }

  /// How many descriptors belong to it, or nil when any number of an offer may come back.
  public var descriptorCount: Int {
    switch self {
    case .hello(let hello):
      switch hello.standing {
      case .staged: hello.manifest?.descriptorCount ?? 0
      case .refused(_, let returned): returned == nil ? 0 : (hello.manifest?.descriptorCount ?? 0)
      case .fresh, .attached, .claiming, .received, .tookBack, .running, .arriving, .departing: 0
      }
    case .offer(_, let manifest): manifest.descriptorCount
    case .stage: 1
    case .ready, .received, .refused, .tookBack, .used, .resumed, .running, .declined,
      .preflightReport, .ended, .described, .park, .departing, .departed, .stays, .arrived, .receipt,
      .migrationReport, .confirmed:
      0
    }
  }
}
