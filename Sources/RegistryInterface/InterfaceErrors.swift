extension BatonRegistry {
  /// The errors.
  static let errorsText = """
    # The registry knows no such guest.
    error UnknownGuest(
      # The name that was asked for
      guest: string
    )

    # The guest has no such handoff, or it is forgotten.
    error UnknownHandoff(
      # The guest
      guest: string,
      # The number that was asked for
      handoff: int
    )

    # A handoff of this guest is under way.
    error HandoffInProgress(
      # The guest
      guest: string,
      # The handoff under way
      handoff: int,
      # The phase it is in
      phase: ?PhaseName
    )

    # No handoff of this guest is under way.
    error NoHandoffInProgress(
      # The guest
      guest: string
    )

    # The handoff is committed: the successor owns the guest.
    error AlreadyCommitted(
      # The guest
      guest: string,
      # The handoff
      handoff: int
    )

    # The caller may not do this.
    error NotAllowed(
      # The method
      method: string,
      # The user who called
      userId: int,
      # What the method needs, for people
      needs: string
    )

    # A check says that the handoff would fail. Nothing was tried.
    error PreflightFailed(
      # The guest
      guest: string,
      # The checks that failed
      checks: []Check
    )

    # The source refused when it was asked to prepare: nothing was tried.
    error RefusedBySource(
      # The guest
      guest: string,
      # The handoff, if it had begun
      handoff: ?int,
      # Why
      refusal: Refusal
    )

    # A successor came and did not take a guest that waits in custody: it goes on waiting.
    error RefusedBySuccessor(
      # The guest
      guest: string,
      # The handoff
      handoff: ?int,
      # Why
      refusal: Refusal
    )

    # The registry refused, for a reason that has no error of its own.
    error RefusedByRegistry(
      # The guest
      guest: string,
      # The handoff, if it had begun
      handoff: ?int,
      # Why
      refusal: Refusal
    )

    # The guest cannot be kept: its context is gone.
    error GuestLost(
      # The guest
      guest: string,
      # The handoff in which it was lost
      handoff: ?int,
      # How that came about, for people
      sentence: string
    )

    # The guest has ended.
    error GuestEnded(
      # The guest
      guest: string
    )

    # A phase took longer than it may.
    error DeadlinePassed(
      # The guest
      guest: string,
      # The handoff
      handoff: int,
      # The phase
      phase: PhaseName,
      # How long it may take
      limitMicroseconds: int,
      # Where the guest stands now
      state: GuestState
    )

    # A migration of this guest is under way.
    error MigrationInProgress(
      # The guest
      guest: string,
      # The migration's id
      migration: string,
      # Where it stands
      phase: ?MigrationPhase
    )

    # The guest has no such migration.
    error NoMigration(
      # The guest
      guest: string,
      # The id that was asked for
      migration: ?string
    )

    # The guest was given to another host, or is about to be.
    error GuestDeparted(
      # The guest
      guest: string,
      # The migration's id
      migration: string,
      # Where it went
      host: string,
      # Whether it is known to run there
      confirmed: bool,
      # What that means for what was asked, for people
      sentence: string
    )

    # The migration cannot be, or not so.
    error MigrationRefused(
      # The guest
      guest: string,
      # The migration's id, if it has one
      migration: ?string,
      # Why
      refusal: Refusal
    )

    # A quota is used up.
    error QuotaExceeded(
      # Which one: connections, guests, descriptors or watches
      quota: string,
      # How much is allowed
      limit: int
    )

    # The registry is stopping; ask again.
    error Stopping()

    """
}
