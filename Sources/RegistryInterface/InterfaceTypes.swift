extension BatonRegistry {
  /// Types of guests, checks and metrics.
  static let typesText = """
    # The registry of the guests of one host: which process may run which guest, and how a guest goes from
    # one process to the next.
    #
    # Names ending in Microseconds are durations, or moments on a clock that the comment names. Epochs and
    # handoff numbers are unsigned 64-bit integers. A field that is absent or null has no value now.
    #
    # Reading needs access to the socket. Methods that change something (Upgrade, Abort) need uid 0 or the
    # admin group; others get NotAllowed.
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
      ended
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
      alarm: ?Alarm
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
      sumMicroseconds: int
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
      # Refusals by name
      refusals: [string]int
    )


    """
}
