/// How long each phase may take, in milliseconds.
public struct Deadlines: Hashable, Sendable {
  /// Attach to ready, plus ``preparePer16GiB`` for the RAM to populate.
  public var prepare: UInt32 = 30_000
  public var preparePer16GiB: UInt32 = 10_000
  /// Freeze to stage.
  public var freeze: UInt32 = 500
  /// Claim to received.
  public var claim: UInt32 = 1_000
  /// Release to the process's end.
  public var release: UInt32 = 5_000
  /// How long a VMM that has staged waits for a registry that is gone before it raises an alarm.
  public var registry: UInt32 = 30_000

  public init() {}
}

/// What the registry answers to a hello.
public struct Welcome: Hashable, Sendable {
  public enum Role: UInt8, Hashable, Sendable { case owner = 1, successor = 2 }
  public var version: UInt16
  public var role: Role
  public var deadlines: Deadlines

  public init(version: UInt16, role: Role, deadlines: Deadlines) {
    self.version = version
    self.role = role
    self.deadlines = deadlines
  }
}

/// A message from the registry to a VMM.
public enum RegistryMessage: Hashable, Sendable {
  case welcome(Welcome)
  /// To the source: make ready to hand over, answer with an offer. The guest runs on.
  case prepare(handoff: UInt64)
  /// To the successor: what the source offers, with its descriptors. `isGuestStopped` says that the guest is staged
  /// already and waits for it.
  case offered(handoff: UInt64, Manifest, isGuestStopped: Bool)
  /// To the source: stop the guest and stage.
  case freeze(handoff: UInt64)
  /// To the successor: the baton, in the sealed state memfd.
  case claim(handoff: UInt64, Stage)
  /// To the source: take the guest back, or go on if nothing was staged.
  case takeBack(handoff: UInt64)
  /// The verdict: run the guest as its owner in this epoch.
  case run(epoch: UInt64)
  /// The verdict: give up everything and exit.
  case release(Refusal?)
  /// What was asked is refused; the connection ends.
  case refusal(Refusal, String)
  /// Report every check of the preflight.
  case preflight
  /// To the owner: migrate the guest to another host. Nobody runs it there who cannot show what fits the lock.
  case migrate(MigrationID, DepartureLock, MigrationRequest)
  /// To the owner: give the guest up. The receipt is for the other host, once this registry has released the source.
  case depart(MigrationID, DepartureReceipt)
  /// To the owner: do not migrate, and let the guest go on.
  case cancelMigration(MigrationID)
  /// To the VMM that receives a guest: that all of it is here stands in the journal, and its source may be told.
  case arrivalJournalled(MigrationID)

  public var type: UInt16 {
    switch self {
    case .welcome: 101
    case .prepare: 102
    case .offered: 103
    case .freeze: 104
    case .claim: 105
    case .takeBack: 106
    case .run: 107
    case .release: 108
    case .refusal: 109
    case .preflight: 110
    case .migrate: 111
    case .depart: 112
    case .cancelMigration: 113
    case .arrivalJournalled: 114
    }
  }

  public var descriptorCount: Int {
    switch self {
    case .offered(_, let manifest, _): manifest.descriptorCount
    case .claim: 1
    case .welcome, .prepare, .freeze, .takeBack, .run, .release, .refusal, .preflight, .migrate, .depart,
      .cancelMigration, .arrivalJournalled:
      0
    }
  }
}
