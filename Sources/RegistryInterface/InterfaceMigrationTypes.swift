extension BatonRegistry {
  /// Types of migrations to other hosts.
  static let migrationTypesText = """
    # On which side of a migration a host is
    type MigrationRole (
      # The guest leaves it
      source,
      # The guest comes to it
      target
    )

    # Where a migration stands
    type MigrationPhase (
      # The two VMMs are being connected
      connecting,
      # Certificates, policies and machines are compared
      checking,
      # Rates are measured
      planning,
      # The guest runs, and its memory is copied
      copying,
      # The guest stands still, and the rest is copied
      finishing,
      # The target has all of it
      ready,
      # The source's VMM may give the guest up
      departing,
      # The guest is not the source's any more; whether it runs at the target is not known yet
      departed,
      # The target receives the guest
      arriving,
      # The target has all of it, and waits for the receipt
      arrived,
      # It is over, and the guest runs at the target; of a plan: it is made
      done,
      # It is over, and nothing moved
      failed
    )

    # How a migration ended
    type MigrationOutcome (
      # It has not ended
      inProgress,
      # It was only planned
      planned,
      # The guest runs at the target
      migrated,
      # The guest stayed at the source
      stayed,
      # At the target nothing came of it
      failed
    )

    # What the source's VMM says about a migration: figures of now, and of the plan
    type MigrationProgress (
      # Counts the passes over RAM from 1; 0 before the first
      round: int,
      # Pages of guest RAM
      pagesTotal: int,
      # Pages sent, repeated ones counted each time
      pagesSent: int,
      # Pages that are to be sent yet
      pagesRemaining: int,
      # Bytes sent
      bytesSent: int,
      # Pages sent in a second
      pagesPerSecond: int,
      # Pages that the guest writes in a second
      dirtyPagesPerSecond: int,
      # From now to the end
      expectedMilliseconds: int,
      # How long the guest will stand still
      expectedPauseMilliseconds: int,
      # Whether it comes to an end
      willConverge: bool,
      # Since the first round began
      elapsedMilliseconds: int,
      # How long the guest stood still; 0 as long as it is not known
      pauseMicroseconds: int,
      # Of the plan, as all that follow: how many passes over RAM; 0 is not told
      expectedRounds: int,
      # Pages that go through the secure processor
      encryptedPages: int,
      # Pages that go in the clear, inside TLS
      plainPages: int,
      # Pages of nothing but zeros
      zeroPages: int,
      # What the connection carries in a second
      linkBytesPerSecond: int,
      # Pages that the guest writes over and over
      workingSetPages: int,
      # The longest pause that was asked for
      maxPauseMilliseconds: int,
      # As expectedPauseMilliseconds, for pauses of few of them; 0 is not told
      expectedPauseMicroseconds: int,
      # What else is to be said, for people
      text: ?string,
      # Every check that was made, on both hosts; with the plan only
      checks: ?[]Check
    )

    # One migration of one guest, as one of the two hosts sees it
    type Migration (
      # Its id: 32 hexadecimal digits, the same on both hosts
      id: string,
      # On which side this host is
      role: MigrationRole,
      # The other host: as it was asked for, or as it named itself
      peer: string,
      # Where it stands
      phase: MigrationPhase,
      # How it ended
      outcome: MigrationOutcome,
      # Whether it is only to be planned
      planOnly: bool,
      # Whether an operator has ended it, and its VMM has not answered yet
      cancelling: bool,
      # When it began, in microseconds since 1970 (CLOCK_REALTIME)
      startedRealtimeMicroseconds: int,
      # When it ended, in microseconds since 1970 (CLOCK_REALTIME)
      endedRealtimeMicroseconds: ?int,
      # Why the guest stayed
      refusal: ?Refusal,
      # The last figures; on the source only
      progress: ?MigrationProgress
    )

    # What is wanted of a migration
    type MigrationWish (
      # Where to: a name or an address, with :port if it is not 4646
      host: string,
      # Only plan; absent is no
      planOnly: ?bool,
      # The longest pause; 300 ms if absent
      maxPauseMilliseconds: ?int,
      # The longest time for all of it; none if absent or 0
      maxTimeSeconds: ?int,
      # What may be sent in a second; all that goes if absent or 0
      bandwidthBytesPerSecond: ?int,
      # Whether to go on although it does not converge; absent is no
      allowNonconvergence: ?bool
    )

    # What a reply of Migrate tells
    type MigrateStep (
      # The source's VMM has the order
      accepted,
      # Something changed
      progress,
      # The end, or a person has to settle it: the migration and the guest say how it went
      finished
    )

    # What the source's registry knows about a migration
    type DepartureState (
      # It gave the guest up
      departed,
      # It kept the guest, or the guest ended with it
      stays,
      # It has not decided
      undecided,
      # It knows no such migration
      unknown
    )

    # What the target's registry knows about a migration
    type ArrivalState (
      # The guest is being received
      arriving,
      # All of it is there, and it waits for the receipt
      arrived,
      # The receipt was shown, and its VMM has said that it runs it
      running,
      # Nothing came of it
      over,
      # It knows no such migration
      unknown
    )


    """

  /// The methods of migrations.
  static let migrationMethodsText = """
    # Migrates a guest to another host, or plans that. With 'more' the replies report progress, without it only
    # the last reply is sent. The migration does not depend on this connection; Abort ends it, as long as the
    # guest was not given up. It ends with outcome inProgress where a person has to settle it: the guest's alarm
    # says how.
    method Migrate(
      # The guest's name
      guest: string,
      # What is wanted
      request: MigrationWish
    ) -> (
      # What this reply tells
      step: MigrateStep,
      # The migration as it is now
      migration: Migration,
      # The guest as it is now
      guest: Guest
    )

    # Says to the registry of the target what became of a migration at its source: the receipt shows that the
    # guest was given up there, and lets it run here; without a receipt it is the caller's word that the source
    # kept it, which ends the arrival. Repeating it does no harm. The answer waits a moment for the VMM to say that
    # it runs the guest.
    method Settle(
      # The guest's name
      guest: string,
      # The migration's id
      id: string,
      # The source's receipt, 64 hexadecimal digits. Secret
      receipt: ?string,
      # Whether the source kept the guest; needs uid 0 or the admin group
      cancelled: ?bool
    ) -> (
      # Where the arrival stands now
      state: ArrivalState,
      # The guest as it is now
      guest: Guest
    )

    # Says to the registry of the source that the guest runs at the target, or is given up there too: the receipt
    # is thrown away, and a guest of this name may be started anew. Repeating it does no harm.
    method Confirm(
      # The guest's name
      guest: string,
      # The migration's id
      id: string
    ) -> (
      # The guest as it is now
      guest: Guest
    )

    # Says what the registry of the source knows about a migration. Needs uid 0 or the user of baton-remote,
    # because of the receipt.
    method Departure(
      # The migration's id
      id: string,
      # Only of this guest
      guest: ?string
    ) -> (
      # What is known
      state: DepartureState,
      # The guest
      guest: ?string,
      # Where it went, or was to go
      host: ?string,
      # The receipt, 64 hexadecimal digits; of a guest that was given up and is not confirmed to run elsewhere
      receipt: ?string
    )

    # Says what the registry of the target knows about a migration.
    method Arrival(
      # The migration's id
      id: string,
      # Only of this guest
      guest: ?string
    ) -> (
      # What is known
      state: ArrivalState,
      # The guest
      guest: ?string,
      # Where it comes from
      host: ?string
    )


    """
}
