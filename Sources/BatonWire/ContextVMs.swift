/// VM descriptors of way `move`, which follow a message's own descriptors.
///
/// A context is moved out of the VM that has it, so whoever is to take it needs a descriptor of that VM. Which
/// VMs there are is known only when a message is sent, so their number is not in its payload: it is what the
/// record headers announce beyond the message's own descriptors, within these limits.
public enum ContextVMs {
  /// Most VM descriptors that follow one message: the source's and one of each claimant that died.
  public static let maximum = 1_000
}

extension VMMMessage {
  /// How many VM descriptors may follow ``descriptorCount`` others.
  ///
  /// A successor's own VM comes with `ready` and with each first record after it; the source's take-back VM
  /// with its offer; a returned baton with every VM that was given along.
  public var mostContextVMs: Int {
    switch self {
    case .hello(let hello):
      switch hello.standing {
      case .attached(let prepared): prepared == 0 ? 0 : 1
      case .claiming, .received: 1
      case .staged: hello.manifest?.way == .move ? 1 : 0
      case .refused(_, let returned):
        returned != nil && hello.manifest?.way == .move ? ContextVMs.maximum / 2 : 0
      case .fresh, .tookBack, .running, .arriving, .departing: 0
      }
    case .offer(_, let manifest): manifest.way == .move ? 1 : 0
    case .ready: 1
    case .stage, .received, .refused, .tookBack, .used, .resumed, .running, .declined, .preflightReport,
      .ended, .described, .park, .departing, .departed, .stays, .arrived, .receipt, .migrationReport,
      .confirmed:
      0
    }
  }
}

extension RegistryMessage {
  /// How many VM descriptors may follow ``descriptorCount`` others: with a claim the source's VM and those of
  /// claimants that died, with the order to take back the latter.
  public var mostContextVMs: Int {
    switch self {
    case .claim, .takeBack: ContextVMs.maximum
    case .welcome, .prepare, .offered, .freeze, .run, .release, .refusal, .preflight, .migrate, .depart,
      .cancelMigration, .arrivalJournalled:
      0
    }
  }
}
