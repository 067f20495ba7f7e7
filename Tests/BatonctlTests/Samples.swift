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
}
