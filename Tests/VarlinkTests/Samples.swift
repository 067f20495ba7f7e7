import RegistryInterface

/// Values with every optional field set.
enum Samples {
  static let process = VMMProcess(
    processId: 4711, userId: 997, buildId: "1.2.0", unit: "baton-vmm-a@vm1.service")

  static var guest: Guest {
    var guest = Guest(
      name: "vm1", state: .preparing, way: .token, epoch: .max, owner: process, memoryBytes: 1 << 30,
      vcpuCount: 2)
    guest.handoff = 8
    guest.phase = .prepare
    guest.deadlineMicroseconds = -5
    guest.lastHandoff = 7
    guest.lastOutcome = .committed
    guest.lastBlackoutMicroseconds = 312
    guest.alarm = Alarm(
      sentence: "it waits", command: "systemctl start baton-vmm-b@vm1", sinceRealtimeMicroseconds: 1)
    guest.slot = .a
    guest.barredSlots = [
      BarredSlot(slot: .b, sentence: "process 4790 declined handoff 7", sinceRealtimeMicroseconds: 2)
    ]
    guest.waitingSinceRealtimeMicroseconds = 3
    guest.endSentence = "its VMM ended it"
    guest.endedRealtimeMicroseconds = 4
    guest.migration = migration
    return guest
  }

  static var migration: Migration {
    var migration = Migration(
      id: "00112233445566778899aabbccddeeff", role: .source, peer: "south.test:4646", phase: .copying,
      planOnly: true, startedRealtimeMicroseconds: 5)
    migration.endedRealtimeMicroseconds = 6
    migration.refusal = Refusal(name: "linkLost", sentence: "the connection broke", by: .source)
    var progress = MigrationProgress()
    progress.pagesTotal = .max
    progress.text = "a sentence"
    progress.checks = [check]
    migration.progress = progress
    return migration
  }

  static var wish: MigrationWish {
    var wish = MigrationWish(host: "south.test")
    wish.planOnly = true
    wish.maxPauseMilliseconds = 300
    wish.maxTimeSeconds = 60
    wish.bandwidthBytesPerSecond = 1
    wish.allowNonconvergence = false
    return wish
  }

  static var handoff: Handoff {
    var handoff = Handoff(
      number: 7, guest: "vm1", way: .token, epochBefore: 3, source: process,
      startedRealtimeMicroseconds: 1_700_000_000_000_000)
    handoff.epochAfter = 4
    handoff.outcome = .committed
    handoff.successor = VMMProcess(processId: 4790, userId: 997, buildId: "1.2.1")
    handoff.phases = phases
    handoff.durationMicroseconds = 30_018_796
    handoff.blackoutMicroseconds = 312
    handoff.refusal = Refusal(name: "stateUnreadable", sentence: "format 7 is newer than 6", by: .successor)
    handoff.parked = true
    return handoff
  }

  static let phases: [Phase] = {
    let durations: [(PhaseName, UInt64)] = [
      (.attach, 1204), (.prepare, 30_001_000), (.offer, 80), (.ready, 12_000), (.freeze, 140), (.stage, 21),
      (.claim, 19), (.receive, 85), (.commit, 30), (.run, 17), (.release, 4200),
    ]
    var start: UInt64 = 0
    return durations.map { name, duration in
      defer { start += duration }
      return Phase(
        name: name, startMicroseconds: start, durationMicroseconds: duration, limitMicroseconds: 1_000_000)
    }
  }()

  static let check = Check(.vfio, .fail, "a VFIO device cannot move", remedy: "unplug it")

  static var metrics: MetricsReply {
    var counters = Counters()
    counters.refusals = ["batonUsed": 3]
    counters.startedRealtimeMicroseconds = 1
    counters.guestsByState = ["running": 2]
    counters.attempts = [AttemptCount(outcome: .aborted, refusal: "peerDied", count: 1)]
    counters.handoffsParked = 1
    counters.guestsRegistered = 2
    counters.guestsEnded = 3
    counters.slotsBarred = 4
    counters.slotsBarredTotal = 5
    counters.alarmsRaised = 6
    counters.storeDescriptors = 7
    counters.storeCapacity = 2048
    counters.journalCapacityBytes = 1 << 18
    counters.operatorWatches = 8
    counters.vmmConnectionsTotal = 9
    counters.operatorConnectionsTotal = 10
    counters.logLinesDropped = 11
    counters.migrationsStarted = 12
    counters.migrationsPlanned = 13
    counters.migrationsDeparted = 14
    counters.migrationsStayed = 15
    counters.migrationsArriving = 16
    counters.migrationsArrived = 17
    counters.migrationsFailed = 18
    return MetricsReply(
      counters: counters,
      histograms: [
        LatencyHistogram(
          name: "blackout", count: 2, minimumMicroseconds: 1, p50Microseconds: 2, p99Microseconds: 3,
          maximumMicroseconds: 4, sumMicroseconds: 5,
          buckets: [Bucket(upToMicroseconds: 2, count: 1)])
      ], build: Build(version: "0.1.0", buildId: "c0ffee"))
  }

  static let refused = RegistryError.Refused(
    guest: "vm1", handoff: 7, refusal: Refusal(name: "wrongPeer", sentence: "uid differs", by: .registry))

  /// One error of each kind.
  static let errors: [RegistryError] = [
    .unknownGuest(.init(guest: "vm1")), .unknownHandoff(.init(guest: "vm1", handoff: 7)),
    .handoffInProgress(.init(guest: "vm1", handoff: 7, phase: .freeze)),
    .noHandoffInProgress(.init(guest: "vm1")), .alreadyCommitted(.init(guest: "vm1", handoff: 7)),
    .notAllowed(.init(method: "Upgrade", userId: 1000, needs: "uid 0 or group baton-admin")),
    .preflightFailed(.init(guest: "vm1", checks: [check])), .refusedBySource(refused),
    .refusedBySuccessor(refused), .refusedByRegistry(refused),
    .guestLost(.init(guest: "vm1", handoff: 7, sentence: "both owners died")),
    .guestEnded(.init(guest: "vm1")),
    .deadlinePassed(
      .init(guest: "vm1", handoff: 7, phase: .attach, limitMicroseconds: 30_000_000, state: .running)),
    .migrationInProgress(.init(guest: "vm1", migration: "00ff", phase: .copying)),
    .noMigration(.init(guest: "vm1", migration: "00ff")),
    .guestDeparted(
      .init(
        guest: "vm1", migration: "00ff", host: "south.test", confirmed: true,
        sentence: "it cannot be called back")),
    .migrationRefused(
      .init(
        guest: "vm1", migration: "00ff",
        refusal: Refusal(name: "receiptWrong", sentence: "it does not fit", by: .registry))),
    .quotaExceeded(.init(quota: "watches", limit: 16)), .stopping,
  ]
}
