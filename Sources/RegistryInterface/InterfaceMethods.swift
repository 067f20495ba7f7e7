extension BatonRegistry {
  /// The methods.
  static let methodsText = """
    # Lists all guests, by name.
    method List() -> (
      # The guests
      guests: []Guest
    )

    # Describes one guest and its handoffs.
    method Describe(
      # The guest's name
      guest: string,
      # Only this handoff
      handoff: ?int
    ) -> (
      # The guest
      guest: Guest,
      # Its handoffs that are still remembered, oldest first, each with its timeline
      handoffs: []Handoff
    )

    # Follows what happens. Needs 'more'. The first reply is a snapshot, each later one an event; close the
    # connection to end it. Who does not read is disconnected.
    method Watch(
      # Only this guest
      guest: ?string
    ) -> (
      # Counts the replies of this connection from 0
      sequence: int,
      # When it happened, in microseconds since 1970 (CLOCK_REALTIME)
      realtimeMicroseconds: int,
      # What it is about
      kind: EventKind,
      # All guests; in a snapshot only
      guests: ?[]Guest,
      # The guest as it is now; in all but a snapshot
      guest: ?Guest,
      # The handoff as it is now, if the event is about one
      handoff: ?Handoff,
      # The phase, if the event is about one
      phase: ?Phase,
      # The migration as it is now, if the event is about one
      migration: ?Migration
    )

    # Checks whether a handoff of a guest would go through, while the guest runs. Changes nothing.
    method Preflight(
      # The guest's name
      guest: string
    ) -> (
      # The guest's name
      guest: string,
      # The worst of the checks
      verdict: Verdict,
      # Every check that was made
      checks: []Check
    )

    # Starts a handoff of a guest: records the intent and lets the source prepare. The registry never starts a
    # process; the caller starts the successor after the first reply. From then on the guest has no barred
    # slots. With 'more' the replies report each phase, without it only the last reply is sent. The handoff
    # does not depend on this connection.
    method Upgrade(
      # The guest's name
      guest: string,
      # How long to wait for a successor to attach; the registry's own limit if absent
      deadlineMicroseconds: ?int,
      # Whether to go on although a check of Preflight says fail
      ignorePreflight: ?bool
    ) -> (
      # What this reply tells
      step: UpgradeStep,
      # The handoff's number
      number: int,
      # The guest as it is now
      guest: Guest,
      # The phase; in phaseStarted and phaseEnded
      phase: ?Phase,
      # The handoff with its timeline; in finished
      handoff: ?Handoff
    )

    # Ends a handoff, as far as that is safe: before the guest is staged the source goes on, after that the
    # source is told to take it back. A handoff that is committed cannot be ended. Where the guest's alarm names
    # this call, it is the caller's word that no other process has run the guest since. It also ends a migration,
    # on the source before the guest may be given up, on the target before all of it is there; its number is 0.
    method Abort(
      # The guest's name
      guest: string,
      # Only if this is the handoff under way
      handoff: ?int
    ) -> (
      # The handoff's number
      number: int,
      # How it ended, or inProgress while the source takes the guest back
      outcome: Outcome,
      # The guest as it is now
      guest: Guest
    )

    # Returns counters and histograms.
    method Metrics() -> (
      # Counts and levels
      counters: Counters,
      # The histograms of blackout, whole handoffs and each phase, of committed handoffs
      histograms: []Histogram,
      # What program the registry is
      build: ?Build
    )


    """
}
