extension BatonRegistry {
  /// Types of handoffs and events.
  static let handoffTypesText = """
    # The phases of a handoff, in their order; not every handoff has each
    type PhaseName (
      # From the first word of the successor, or of an operator, until both sides are known. When the owner asked
      # to be replaced it comes behind stage, and the guest is paused: it waits in custody for a successor
      attach,
      # The source gets ready: files, descriptors, the state's memory
      prepare,
      # The source offers RAM and manifest, and the successor gets them
      offer,
      # The successor maps the RAM, makes VM and virtual CPUs, and says ready
      ready,
      # The guest is stopped and its state saved, up to LOCAL_SEND. The blackout begins
      freeze,
      # The state goes to the registry
      stage,
      # The baton goes to the successor
      claim,
      # The successor receives the context and restores the state
      receive,
      # The registry makes the successor the owner
      commit,
      # The verdict goes out and the successor runs the guest. The blackout ends
      run,
      # The source lets go
      release
    )

    # How a handoff ended
    type Outcome (
      # It has not ended
      inProgress,
      # The successor owns the guest
      committed,
      # It failed after the guest was staged, and the source runs the guest again
      takenBack,
      # It ended before the guest was staged; the source went on
      aborted,
      # The guest is lost
      lost,
      # The guest itself ended
      ended
    )

    # A phase of a handoff
    type Phase (
      # Which phase
      name: PhaseName,
      # When it began, counted from the beginning of the handoff
      startMicroseconds: int,
      # How long it took, or absent while it lasts
      durationMicroseconds: ?int,
      # How long it may take
      limitMicroseconds: ?int
    )

    # Why a handoff did not go through
    type Refusal (
      # The reason's name, in camelCase; stays the same between versions
      name: string,
      # What happened, for people
      sentence: string,
      # Who refused
      by: RefusedBy
    )

    # Who refused
    type RefusedBy (
      # The registry
      registry,
      # The process that owned the guest
      source,
      # The process that was to own it
      successor,
      # The kernel or the firmware
      kernel,
      # A person
      operator
    )

    # One attempt to move one guest, with its timeline
    type Handoff (
      # Its number, never used twice on this host
      number: int,
      # The guest
      guest: string,
      # How the context moves
      way: Way,
      # The guest's epoch before
      epochBefore: int,
      # The guest's epoch after, once it is settled
      epochAfter: ?int,
      # How it ended
      outcome: Outcome,
      # The owner before
      source: Process,
      # The owner to be
      successor: ?Process,
      # When it began, in microseconds since 1970 (CLOCK_REALTIME)
      startedRealtimeMicroseconds: int,
      # From its beginning to its end, or until now
      durationMicroseconds: int,
      # From the last instruction of the guest on the source to the first on the successor
      blackoutMicroseconds: ?int,
      # The phases it went through, in order
      phases: []Phase,
      # Why it did not go through
      refusal: ?Refusal,
      # Whether it began because the owner asked to be replaced, with no successor there yet
      parked: ?bool
    )

    # What an event of Watch is about
    type EventKind (
      # The first reply: all that is known now
      snapshot,
      # A guest was registered
      guestAppeared,
      # Something about a guest changed
      guestChanged,
      # A guest was forgotten
      guestGone,
      # A handoff began
      handoffStarted,
      # A phase began
      phaseStarted,
      # A phase ended
      phaseEnded,
      # A handoff ended
      handoffEnded,
      # A person has to settle something
      alarmRaised,
      # It was settled
      alarmCleared,
      # A migration to or from another host began
      migrationStarted,
      # A migration goes on
      migrationProgress,
      # A migration ended
      migrationEnded
    )

    # What a reply of Upgrade tells
    type UpgradeStep (
      # The intent is recorded: start the successor now
      recorded,
      # A phase began
      phaseStarted,
      # A phase ended
      phaseEnded,
      # The end: handoff and guest say how it went
      finished
    )


    """
}
