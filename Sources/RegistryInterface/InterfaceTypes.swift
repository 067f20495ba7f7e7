extension BatonRegistry {
  /// Types of guests, checks and metrics.
  static let typesText = """
    # The registry of the guests of one host: which process may run which guest, and how a guest goes from
    # one process to the next.
    #
    # Names ending in Microseconds are durations, or moments on a clock that the comment names. Epochs and
    # handoff numbers are unsigned 64-bit integers. A field that is absent or null has no value now.
    #
    # Reading needs access to the socket. Methods that change something (Upgrade, Abort, Migrate, Settle,
    # Confirm) need uid 0 or the admin group; others get NotAllowed. The user of baton-remote may call Departure,
    # Confirm, and Settle with a receipt.
    interface io.baton.Registry

    # Where a guest stands
    type GuestState (
      # Its owner runs it; no handoff is under way
      running,
      # Its owner runs it; a handoff is prepared
      preparing,
      # It is paused and its state is being saved
      frozen,
      # It is paused, and its state waits in the registry for a successor
      staged,
      # It is paused, and a successor is receiving it
      claimed,
      # It is paused, and the source is taking it back
      takingBack,
      # It is paused in custody and nobody owns it: a new successor may claim it
      waiting,
      # It cannot be kept: its context is gone
      lost,
      # Its owner ended it, or ended
      ended,
      # It stands still to leave for another host, and its owner may give it up
      departing,
      # It was given to another host
      departed,
      # It comes from another host, and may not run yet
      arriving
    )

    # How the context of a guest moves
    type Way (
      # LOCAL_SEND and LOCAL_RECEIVE with a token of the kernel
      token,
      # KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM
      move,
      # No encrypted context: nothing in the kernel arbitrates
      none
    )

    # A process that owns, owned, or is to own a guest
    type Process (
      # Its process id
      processId: int,
      # The user it runs as
      userId: int,
      # What build of the VMM it is, as it says itself
      buildId: ?string,
      # Its systemd unit
      unit: ?string
    )

    # One of the two units that the VMMs of a guest live in by turns
    type Slot (
      # baton-vmm-a@GUEST.service
      a,
      # baton-vmm-b@GUEST.service
      b
    )

    # A slot that is refused until Upgrade is called
    type BarredSlot (
      # Which slot
      slot: Slot,
      # Which process brought that about, and how; for people
      sentence: string,
      # Since when, in microseconds since 1970 (CLOCK_REALTIME)
      sinceRealtimeMicroseconds: int
    )

    # Something that a person has to settle
    type Alarm (
      # What is the matter
      sentence: string,
      # The command that settles it
      command: string,
      # When it was raised, in microseconds since 1970 (CLOCK_REALTIME)
      sinceRealtimeMicroseconds: int
    )

    # A guest
    type Guest (
      # Its name, unique on this host
      name: string,
      # Where it stands
      state: GuestState,
      # How its context moves
      way: Way,
      # How many owners it has had; exactly one process owns it in each epoch
      epoch: int,
      # The process that owns it
      owner: ?Process,
      # Its RAM in bytes
      memoryBytes: int,
      # How many virtual CPUs it has
      vcpuCount: ?int,
      # The handoff under way
      handoff: ?int,
      # The phase that this handoff is in
      phase: ?PhaseName,
      # How long this phase may still take; negative once it is overdue
      deadlineMicroseconds: ?int,
      # The handoff that ended last
      lastHandoff: ?int,
      # How that one ended
      lastOutcome: ?Outcome,
      # How long that one paused the guest
      lastBlackoutMicroseconds: ?int,
      # What a person has to settle
      alarm: ?Alarm,
      # The slot that its owner is in; of a guest that waits in custody the slot of the owner that is gone
      slot: ?Slot,
      # Slots that are refused in this epoch until Upgrade is called; absent when there are none
      barredSlots: ?[]BarredSlot,
      # Since when it waits in custody with nobody who owns it, in microseconds since 1970 (CLOCK_REALTIME)
      waitingSinceRealtimeMicroseconds: ?int,
      # How a guest that is lost or ended came to its end, for people
      endSentence: ?string,
      # When it came to its end, in microseconds since 1970 (CLOCK_REALTIME)
      endedRealtimeMicroseconds: ?int,
      # The migration to or from another host that is under way, or the last one
      migration: ?Migration
    )

    # What a check says
    type Verdict (
      # All is well
      pass,
      # It works, but something is worth knowing
      warn,
      # A handoff would fail, or must not be tried
      fail,
      # It could not be found out
      unknown
    )

    # One check of Preflight
    type Check (
      # What is checked, in one word; stays the same between versions
      name: string,
      # What came out
      verdict: Verdict,
      # What was found, for people
      detail: string,
      # What to do about it
      remedy: ?string
    )

    # How many values are at most so large
    type Bucket (
      # So large
      upToMicroseconds: int,
      # How many values are at most that, those of smaller buckets included
      count: int
    )

    # How values are distributed
    type Histogram (
      # What is measured: blackout, handoff, or the name of a phase
      name: string,
      # How many values there are
      count: int,
      # The smallest value
      minimumMicroseconds: int,
      # Half of the values are at most this
      p50Microseconds: int,
      # 99 of 100 values are at most this
      p99Microseconds: int,
      # The largest value
      maximumMicroseconds: int,
      # The sum of all values
      sumMicroseconds: int,
      # The same for fixed sizes, which every histogram has; what is larger than the last one is in count only
      buckets: ?[]Bucket
    )

    # How many handoffs ended in one way
    type AttemptCount (
      # How they ended
      outcome: Outcome,
      # The name of the reason, if there was one
      refusal: ?string,
      # How many
      count: int
    )

    # What program the registry is
    type Build (
      # Its version
      version: string,
      # The GNU build id of its binary, in hexadecimal
      buildId: ?string
    )

    # Counts since the registry started, and levels of now
    type Counters (
      # How long the registry runs
      uptimeMicroseconds: int,
      # Guests it knows now
      guests: int,
      # Guests with a handoff under way now
      guestsInHandoff: int,
      # Guests that wait for a person now
      alarms: int,
      # Connections of VMMs now
      vmmConnections: int,
      # Connections of operators now
      operatorConnections: int,
      # Descriptors in custody now
      custodyDescriptors: int,
      # Bytes of the journal now
      journalBytes: int,
      # Resident memory of the registry now, in bytes
      residentBytes: int,
      # Handoffs that were started
      handoffsStarted: int,
      # Handoffs that ended with the successor as owner
      handoffsCommitted: int,
      # Handoffs that ended with the guest back at its source after it was staged
      handoffsTakenBack: int,
      # Handoffs that ended before the guest was staged
      handoffsAborted: int,
      # Handoffs that ended with the guest lost
      handoffsLost: int,
      # Handoffs that ended because the guest itself ended
      handoffsEnded: int,
      # Processes that the fence had to end
      fencedProcesses: int,
      # Records that were received from VMMs
      recordsReceived: int,
      # Records that broke the protocol
      recordsRefused: int,
      # Times the journal was rewritten
      journalCompactions: int,
      # Refusals by name, of handoffs and of connections
      refusals: [string]int,
      # When the registry started, in microseconds since 1970 (CLOCK_REALTIME)
      startedRealtimeMicroseconds: ?int,
      # Guests by state now; every state is there
      guestsByState: ?[string]int,
      # Handoffs that ended, by outcome and reason
      attempts: ?[]AttemptCount,
      # Handoffs that began because the owner asked to be replaced
      handoffsParked: ?int,
      # Guests that were registered
      guestsRegistered: ?int,
      # Guests that ended with their VMM
      guestsEnded: ?int,
      # Slots that are refused now until Upgrade is called
      slotsBarred: ?int,
      # Slots that came to be refused
      slotsBarredTotal: ?int,
      # Alarms that were raised
      alarmsRaised: ?int,
      # Descriptors in the service manager's store now; absent when there is no store
      storeDescriptors: ?int,
      # How many descriptors that store takes; absent when there is no store
      storeCapacity: ?int,
      # Size of the journal's file now, in bytes
      journalCapacityBytes: ?int,
      # Calls of Watch that are open now
      operatorWatches: ?int,
      # Connections of VMMs that were accepted
      vmmConnectionsTotal: ?int,
      # Connections of operators that were accepted
      operatorConnectionsTotal: ?int,
      # Log lines that were dropped because nobody read them
      logLinesDropped: ?int,
      # Migrations to other hosts that were started, plans not counted
      migrationsStarted: ?int,
      # Plans of migrations that were started
      migrationsPlanned: ?int,
      # Guests that were given to other hosts
      migrationsDeparted: ?int,
      # Migrations that ended with the guest here
      migrationsStayed: ?int,
      # Guests that began to come from other hosts
      migrationsArriving: ?int,
      # Guests that came from other hosts and were let run
      migrationsArrived: ?int,
      # Arrivals of which nothing came
      migrationsFailed: ?int
    )


    """
}
