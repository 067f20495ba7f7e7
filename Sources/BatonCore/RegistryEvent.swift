public import BatonWire

/// What a VMM says to the registry about a guest: its standing after a connect, or a later record.
public enum Report: Hashable, Sendable {
  case fresh
  case attach(prepared: UInt64)
  case claiming(UInt64)
  case received(UInt64)
  /// The claim ended without the context; `returned` came with every descriptor after a reconnect.
  case refused(UInt64, used: Bool, returned: Stage?)
  case staged(UInt64, Stage)
  case tookBack(UInt64)
  case used(UInt64)
  case resumed(UInt64)
  case running(UInt64, firstInstruction: UInt64)
  case offer(UInt64, Manifest)
  case ready(UInt64)
  case declined(UInt64, Refusal)
  case ended(UInt64)
  case described(Way)
  /// The owner's process in this epoch is about to be replaced.
  case park(UInt64)
  case departing(MigrationID)
  case departed(MigrationID)
  case stays(MigrationID, Refusal)
  case confirmed(MigrationID)
  /// The standing of an owner whose guest is about to leave, or has left.
  case standsDeparting(Departing)
  /// The standing of a VMM that receives the guest from another host.
  case standsArriving(Arriving)
  case arrived(MigrationID)
  /// A receipt was shown that fits this lock.
  case receipt(MigrationID, lock: DepartureLock)

  /// The handoff or epoch that it names, 0 if none.
  var number: UInt64 {
    switch self {
    case .fresh, .described, .departing, .departed, .stays, .confirmed, .arrived, .receipt: 0
    case .standsDeparting(let departing): departing.epoch
    case .standsArriving(let arriving): arriving.epoch
    case .attach(let number), .claiming(let number), .received(let number), .refused(let number, _, _),
      .staged(let number, _), .tookBack(let number), .used(let number), .resumed(let number),
      .running(let number, _), .offer(let number, _), .ready(let number), .declined(let number, _),
      .ended(let number), .park(let number):
      number
    }
  }

  /// The standing of a first record, as a report.
  public init(_ standing: Standing) {
    switch standing {
    case .fresh: self = .fresh
    case .attached(let prepared): self = .attach(prepared: prepared)
    case .claiming(let handoff): self = .claiming(handoff)
    case .received(let handoff): self = .received(handoff)
    case .refused(let handoff, let returned):
      self = .refused(handoff, used: returned == nil, returned: returned)
    case .staged(let handoff, let stage): self = .staged(handoff, stage)
    case .tookBack(let handoff): self = .tookBack(handoff)
    case .running(let epoch): self = .running(epoch, firstInstruction: 0)
    case .arriving(let arriving): self = .standsArriving(arriving)
    case .departing(let departing): self = .standsDeparting(departing)
    }
  }
}

/// A deadline that the registry watches.
public enum Deadline: Hashable, Sendable {
  /// Attempt's start to the successor's `ready`.
  case prepare
  /// Freeze to stage.
  case freeze
  /// Staged to received: the claimant answers, or the source takes back.
  case claim
  /// Rollback to the source's answer: then the operator is called.
  case takeBack
  /// Release to the process's end: then it is fenced.
  case release(ProcessID)
  /// A migration that is not over: then the operator is called, and nothing else happens.
  case migration
}

/// What happens to a guest in the eyes of the registry.
public enum RegistryEvent: Hashable, Sendable {
  /// The first record of a new connection. `manifest` came along when the VMM is a source. `bringsVM` says
  /// that a VM came beyond the message's own descriptors (way `move`): a successor's own, or with what a
  /// source offers the one to take back into.
  case hello(
    ProcessID, Report, reads: ReadableFormats, manifest: Manifest?, isAlive: Bool, bringsVM: Bool = false)
  /// A later record. `isAlive` is what the pidfd said when the record was taken up.
  case report(ProcessID, Report, isAlive: Bool, bringsVM: Bool = false)
  /// The connection of a process ended; its records not processed yet are void.
  case disconnected(ProcessID)
  /// The pidfd says that the process has ended; what it had sent may wait to be processed. Not needed
  /// for safety: whoever says so early keeps the registry from giving a guest to a process that is gone.
  case exited(ProcessID)
  /// The pidfd says that the process has ended, and everything that it had sent was processed.
  case died(ProcessID)
  case deadline(Deadline, handoff: UInt64)
  /// The operator aborts the attempt. Of a guest whose claimant is not known it is the word that nobody has run it.
  case abort
  /// The operator wants the guest on another host. Nothing happens when it cannot begin
  /// (``GuestMachine/migrationObstacle``).
  case migrate(MigrationStart)
  /// An operator shows the receipt of a guest that comes; it fits this lock.
  case receiptShown(MigrationID, lock: DepartureLock)
  /// The operator's word that the guest stayed where it was to come from.
  case arrivalCancelled(MigrationID)
  /// The guest runs where it went to, as the other host says or an operator does.
  case departureConfirmed(MigrationID)
  /// The time is over in which VMMs come back to a registry that found no journal.
  case settled
}

/// What the registry does about it, in this order.
public enum Effect: Hashable, Sendable {
  /// Durable before the next effect.
  case journal(GuestRecord)
  case send(RegistryMessage, to: ProcessID)
  /// Send a claim, or an order to take back, with the VMs that the process may have (way `move`).
  case give(RegistryMessage, VMGrant, to: ProcessID)
  /// Refuse and end the connection.
  case refuse(ProcessID, Refusal)
  /// The descriptors of the record being processed go to custody.
  case keepDescriptors
  case emptyCustody
  /// End the process through its pidfd with SIGKILL.
  case fence(ProcessID)
  case arm(Deadline, handoff: UInt64)
  case disarm(Deadline)
  case note(Note)
}

/// What people, the timeline and the audit want to know.
public enum Note: Hashable, Sendable {
  case ownerRegistered(ProcessID, epoch: UInt64)
  case attached(ProcessID)
  /// Without a successor when the source is to be parked.
  case attemptStarted(handoff: UInt64, source: ProcessID, successor: ProcessID?)
  /// What the source offers is in custody; also when it is offered once more, to a next successor. To nobody when
  /// the source is to be parked.
  case offered(handoff: UInt64, to: ProcessID?)
  case ready(handoff: UInt64)
  case freezeOrdered(handoff: UInt64)
  case staged(handoff: UInt64, Stage)
  case claimed(handoff: UInt64, by: ProcessID)
  case committed(handoff: UInt64, owner: ProcessID, epoch: UInt64)
  case runOrdered(epoch: UInt64)
  case running(epoch: UInt64, firstInstruction: UInt64)
  case rollingBack(handoff: UInt64, Refusal)
  case takenBack(handoff: UInt64, epoch: UInt64)
  case aborted(handoff: UInt64, Refusal)
  case lost(handoff: UInt64, Refusal)
  case ended
  case died(ProcessID)
  case fenced(ProcessID)
  /// Only an operator can help: what is waited for does not come, and nothing may be guessed.
  case alarm(handoff: UInt64)
  /// A migration to another host begins; the guest runs on.
  case migrationStarted(MigrationID)
  /// The guest stands still, and its VMM may give it up.
  case departing(MigrationID)
  /// The guest was given up: it is the other host's.
  case departed(MigrationID)
  /// The migration is over, and the guest is here.
  case migrationStayed(MigrationID, Refusal)
  /// The guest runs on the other host.
  case departureConfirmed(MigrationID)
  /// A guest comes from another host.
  case arriving(MigrationID, ProcessID)
  /// All of it is here; its receipt is missing.
  case arrived(MigrationID)
  /// Its receipt was shown, and its VMM owns it.
  case arrivalCommitted(MigrationID, owner: ProcessID, epoch: UInt64)
  /// Nothing came of it: its VMM died, or said why, or somebody else did.
  case arrivalFailed(MigrationID, Refusal?)
}
