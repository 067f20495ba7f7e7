import RegistryInterface

@testable import batonctl

/// Guests, handoffs and ends to ask questions about.
enum Samples {
  static func guest(
    _ state: GuestState = .running, epoch: UInt64 = 3, slot: Slot? = .a, hasOwner: Bool = true
  ) -> Guest {
    let owner = VMMProcess(
      processId: slot == .b ? 4790 : 4711, userId: 997,
      buildId: "baton-vmm 1.2.0 build-id 0123456789abcdef0123",
      unit: slot?.unit(of: "vm1") ?? "session-4.scope")
    var guest = Guest(
      name: "vm1", state: state, way: .none, epoch: epoch, owner: hasOwner ? owner : nil, memoryBytes: 1 << 30
    )
    guest.slot = slot
    return guest
  }

  static func handoff(_ outcome: Outcome, refusal: Refusal? = nil) -> Handoff {
    var handoff = Handoff(
      number: 7, guest: "vm1", way: .none, epochBefore: 3,
      source: VMMProcess(processId: 4711, userId: 997), startedRealtimeMicroseconds: 1)
    handoff.outcome = outcome
    handoff.refusal = refusal
    handoff.durationMicroseconds = 20_000
    handoff.blackoutMicroseconds = 312
    return handoff
  }

  /// An attempt whose handoff came to an end.
  static func attempt(_ outcome: Outcome, before: Guest? = guest(), refusal: Refusal? = nil) -> UpgradeEnd {
    UpgradeEnd(guest: "vm1", before: before, how: .ended(handoff(outcome, refusal: refusal), guest()))
  }

  /// An attempt without a handoff, or one that is not followed to its end.
  static func failed(_ status: CommandStatus, before: Guest? = guest()) -> UpgradeEnd {
    UpgradeEnd(
      guest: "vm1", before: before,
      how: .failed(CommandFailure("it failed", cause: "of this", status: status)))
  }

  static func barred(_ slots: Slot...) -> [BarredSlot] {
    slots.map { BarredSlot(slot: $0, sentence: "process 9 crashed", sinceRealtimeMicroseconds: 1) }
  }

  static func migration(
    _ phase: MigrationPhase = .copying, _ outcome: MigrationOutcome = .inProgress,
    role: MigrationRole = .source, refusal: Refusal? = nil, progress: MigrationProgress? = nil
  ) -> Migration {
    var migration = Migration(
      id: "00112233445566778899aabbccddeeff", role: role, peer: role == .source ? "south" : "north",
      phase: phase, startedRealtimeMicroseconds: 1)
    migration.outcome = outcome
    migration.refusal = refusal
    migration.progress = progress
    return migration
  }

  /// 512 MiB over a device of 402 pages a second.
  static var plan: MigrationProgress {
    var plan = MigrationProgress()
    plan.pagesTotal = 131_072
    plan.encryptedPages = 131_000
    plan.plainPages = 72
    plan.pagesPerSecond = 402
    plan.dirtyPagesPerSecond = 35
    plan.linkBytesPerSecond = 118 << 20
    plan.expectedMilliseconds = 331_200
    plan.expectedPauseMilliseconds = 112
    plan.expectedRounds = 4
    return plan
  }

  /// The same of a guest that writes faster than pages are moved.
  static var endless: MigrationProgress {
    var plan = plan
    plan.dirtyPagesPerSecond = 520
    plan.willConverge = false
    plan.expectedPauseMilliseconds = 5210
    plan.text =
      "131,072 pages\nwill not converge: the guest writes 520 pages/s and 402 pages/s can be moved; the pause "
      + "would be 5.2 s, above the limit of 300 ms"
    return plan
  }

  static func check(_ name: String, _ verdict: CheckVerdict, _ detail: String, remedy: String? = nil) -> Check
  {
    var check = Check(.owner, verdict, detail, remedy: remedy)
    check.name = name
    return check
  }

  /// A guest with a migration.
  static func guest(_ state: GuestState, _ migration: Migration, alarm: String? = nil) -> Guest {
    var guest = guest(state, hasOwner: state == .running)
    guest.migration = migration
    guest.alarm = alarm.map {
      Alarm(sentence: "nobody answers", command: $0, sinceRealtimeMicroseconds: 1)
    }
    return guest
  }
}
