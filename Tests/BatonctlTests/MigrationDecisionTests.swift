import RegistryInterface
import Testing

@testable import batonctl

@Suite("Whether a plan is acceptable")
struct MigrationLimitsTests {
  @Test("is not doubted when it keeps all limits")
  func fine() {
    #expect(MigrationLimits().obstacle(Samples.plan) == nil)
    var limits = MigrationLimits()
    limits.maxTimeSeconds = 332
    #expect(limits.obstacle(Samples.plan) == nil)
  }

  @Test("says of a guest that writes too fast what it would need, and is overruled by a word")
  func endless() throws {
    let failure = try #require(MigrationLimits().obstacle(Samples.endless))
    #expect(
      failure.line(verb: "migrate", guest: "vm1")
        == "batonctl: migrate vm1: nothing was tried: will not converge: the guest writes 520 pages/s and 402 "
        + "pages/s can be moved; the pause would be 5.2 s, above the limit of 300 ms; the guest still runs at "
        + "the source; let the guest write less, or allow a pause of 5.2 s with --max-pause 6300")
    #expect(failure.status == .preflightFailed)
    var plan = Samples.endless
    plan.text = nil
    #expect(
      MigrationLimits().obstacle(plan)?.cause
        == "will not converge: the guest writes 520 pages/s, 402 pages/s can be moved")
    var limits = MigrationLimits()
    limits.allowsNonconvergence = true
    #expect(limits.obstacle(Samples.endless) == nil)
  }

  @Test("says of one that takes too long how long it takes")
  func tooLong() throws {
    var limits = MigrationLimits()
    limits.maxTimeSeconds = 120
    let failure = try #require(limits.obstacle(Samples.plan))
    #expect(failure.cause == "it would take 5 min 31 s, --max-time allows 2 min 0 s")
    #expect(failure.remedy == "raise --max-time")
    #expect(failure.status == .preflightFailed)
  }

  @Test("is a failed check before all else, whatever is allowed")
  func check() throws {
    var plan = Samples.endless
    plan.checks = [
      Samples.check("room", .warn, "little"),
      Samples.check("agreement", .fail, "the firmware did not agree", remedy: "another OVMF"),
    ]
    var limits = MigrationLimits()
    limits.allowsNonconvergence = true
    let failure = try #require(limits.obstacle(plan))
    #expect(failure.cause == "agreement: the firmware did not agree")
    #expect(failure.remedy == "another OVMF")
  }

  @Test("is asked on a terminal, accepted by --yes, and else refused before anything is measured")
  func answer() throws {
    for (plan, yes, json, terminal, isFine) in [
      (true, false, true, false, true), (false, true, true, false, true), (false, true, false, true, true),
      (false, false, false, true, true), (false, false, true, true, false),
      (false, false, false, false, false),
    ] {
      let failure: CommandFailure?
      do throws(CommandFailure) {
        try MigrationRun.checkAnswer(isPlanOnly: plan, isAccepted: yes, isJSON: json, canAsk: terminal)
        failure = nil
      } catch { failure = error }
      #expect((failure == nil) == isFine)
      guard let failure else { continue }
      #expect(failure.status == .failure)
      #expect(failure.remedy == "see the plan with batonctl migrate --plan, accept it with --yes")
    }
    for word in ["y", "Y\n", " yes \n"] { #expect(Question.isYes(word)) }
    for word in ["", "\n", "n", "yeah", "yes please", "\u{1B}y"] { #expect(!Question.isYes(word)) }
  }

  @Test("does not come about when the plan was refused: nothing was tried")
  func planFailure() {
    func failure(_ name: String) -> CommandFailure {
      let refusal = Refusal(name: name, sentence: "of this; the guest runs on", by: .source)
      return MigrationRun.planFailure(Samples.migration(.failed, .stayed, refusal: refusal), Samples.guest())
    }
    let waiting = failure("targetNotWaiting")
    #expect(waiting.whatFailed == "nothing was tried" && waiting.cause == "targetNotWaiting: of this")
    #expect(waiting.remedy == "start baton-vmm --incoming for this guest on south")
    #expect(waiting.status == .preflightFailed)
    #expect(failure("migrationCancelled").status == .failure)
    let lost = MigrationRun.planFailure(Samples.migration(.failed, .stayed), Samples.guest(.lost))
    #expect(lost.status == .guestLost)
  }
}

@Suite("The end of a migration")
struct MigrationEndTests {
  struct Row: Sendable {
    let phase: MigrationPhase
    let outcome: MigrationOutcome
    let state: GuestState
    var alarm: String?
    let end: MigrationEnd
    let status: CommandStatus
  }

  static let rows = [
    Row(phase: .done, outcome: .migrated, state: .departed, end: .moved, status: .success),
    Row(phase: .done, outcome: .planned, state: .running, end: .planned, status: .success),
    Row(phase: .failed, outcome: .stayed, state: .running, end: .stayed, status: .guestAtSource),
    Row(
      phase: .failed, outcome: .stayed, state: .running, alarm: "kill 1", end: .waiting, status: .guestWaits),
    Row(phase: .failed, outcome: .stayed, state: .waiting, end: .waiting, status: .guestWaits),
    Row(phase: .failed, outcome: .stayed, state: .ended, end: .ended, status: .guestEnded),
    Row(phase: .failed, outcome: .stayed, state: .lost, end: .lost, status: .guestLost),
    Row(
      phase: .departed, outcome: .inProgress, state: .departed, alarm: "batonctl settle vm1", end: .waiting,
      status: .guestWaits),
    Row(phase: .departed, outcome: .inProgress, state: .departed, end: .unknown, status: .outcomeUnknown),
  ]

  @Test("is what the registry says of the migration and of the guest", arguments: rows)
  func table(_ row: Row) {
    let refusal = Refusal(name: "linkLost", sentence: "the connection broke; the guest runs on", by: .source)
    let migration = Samples.migration(
      row.phase, row.outcome, refusal: row.outcome == .stayed ? refusal : nil)
    let guest = Samples.guest(row.state, migration, alarm: row.alarm)
    let end = MigrationEnd(migration, guest)
    #expect(end == row.end)
    #expect(end.status == row.status)
    let failure = end.failure(migration, guest)
    #expect((failure == nil) == (row.status == .success))
    #expect(failure.map { $0.status == row.status } ?? true)
    // A program that reads the last line gets the same from the failure alone.
    if let failure { #expect(MigrationEnd(failure) == end) }
  }

  @Test("names each once")
  func complete() {
    #expect(Set(Self.rows.map(\.end)) == Set(MigrationEnd.allCases))
  }

  @Test("is told with the reason and what to do")
  func sentences() throws {
    let refusal = Refusal(name: "linkLost", sentence: "the connection broke; the guest runs on", by: .source)
    let stayed = Samples.migration(.failed, .stayed, refusal: refusal)
    let failure = try #require(MigrationEnd.stayed.failure(stayed, Samples.guest()))
    #expect(
      failure.line(verb: "migrate", guest: "vm1")
        == "batonctl: migrate vm1: migration to south did not come about: linkLost: the connection broke "
        + "(source); the guest still runs at the source; check the connection and baton-remote on both hosts, "
        + "then try again")
    let open = Samples.migration(.departed)
    let guest = Samples.guest(.departed, open, alarm: "batonctl settle vm1")
    let waits = try #require(MigrationEnd.waiting.failure(open, guest))
    #expect(waits.cause == "nobody answers" && waits.remedy == "run: batonctl settle vm1")
    let unnamed = MigrationEnd.waiting.failure(open, Samples.guest(.departed, open))
    #expect(unnamed?.remedy == "run: batonctl settle vm1")
  }
}

@Suite("Settling a migration")
struct SettlementTests {
  private func open(
    _ role: MigrationRole, _ state: GuestState, _ phase: MigrationPhase, alarm: String? = nil,
    peer: RemoteHost? = nil
  ) throws(CommandFailure) -> Settlement {
    try Settlement(Samples.guest(state, Samples.migration(phase, role: role), alarm: alarm), peer: peer)
  }

  private func answer(_ settlement: Settlement, _ words: String) -> Result<Settlement.Result, CommandFailure>
  {
    do throws(CommandFailure) {
      return .success(try settlement.result(words.split(separator: " ")))
    } catch { return .failure(error) }
  }

  @Test("asks the other side, whichever that is")
  func question() throws {
    let source = try open(.source, .departed, .departed)
    #expect(source.question == "settle south vm1 00112233445566778899aabbccddeeff")
    let target = try open(.target, .arriving, .arrived)
    #expect(target.question == "departure north vm1 00112233445566778899aabbccddeeff")
    let other = try open(.target, .arriving, .arrived, peer: RemoteHost(argument: "north.example:4700"))
    #expect(other.question == "departure north.example:4700 vm1 00112233445566778899aabbccddeeff")
  }

  @Test("at the source: every answer has one meaning, and none is guessed")
  func atSource() throws {
    let settlement = try open(.source, .departed, .departed, alarm: "batonctl settle vm1")
    for arrival in ArrivalState.allCases {
      for departure in DepartureState.allCases {
        let result = answer(settlement, "\(departure.rawValue) \(arrival.rawValue)")
        switch (departure, arrival) {
        case (_, .running):
          #expect(
            try result.get() == .init(sentence: "it runs on south; both registries know it now", end: .moved))
        case (.stays, .over), (.stays, .unknown):
          #expect(try result.get() == .init(sentence: "it stays here", end: .stayed))
        case (.stays, _):
          #expect(try result.get().sentence.hasSuffix("let go there with: batonctl settle vm1"))
        case (.departed, .over): #expect(status(result) == .guestLost)
        case (.departed, _), (.undecided, _), (.unknown, _): #expect(status(result) == .guestWaits)
        }
      }
    }
  }

  @Test("at the target: it runs when the source gave it up, and else it does not")
  func atTarget() throws {
    let settlement = try open(.target, .arriving, .arrived)
    for departure in DepartureState.allCases {
      for arrival in ArrivalState.allCases {
        let result = answer(settlement, "\(departure.rawValue) \(arrival.rawValue)")
        switch (departure, arrival) {
        case (_, .running):
          #expect(try result.get().end == .moved && !result.get().isCancellation)
          #expect(try result.get().sentence.hasPrefix("it runs here now"))
        // The sidecar hands on a receipt; that there is none this host's registry has to be told.
        case (.stays, _): #expect(try result.get().end == .stayed && result.get().isCancellation)
        // That the source gave it up does not make it run here.
        case (.departed, .over): #expect(status(result) == .guestLost)
        case (.departed, _), (.undecided, _), (.unknown, _): #expect(status(result) == .guestWaits)
        }
      }
    }
  }

  @Test("at the target: says so when the source's registry could not be told")
  func unconfirmed() throws {
    let settlement = try open(.target, .arriving, .arrived)
    let both = try answer(settlement, "departed running").get().sentence
    #expect(both == "it runs here now; both registries know it now")
    let one = try answer(settlement, "departed running unconfirmed").get()
    #expect(one.end == .moved)
    #expect(one.sentence == "it runs here now; north could not be told: run there batonctl settle vm1")
  }

  private func status(_ result: Result<Settlement.Result, CommandFailure>) -> CommandStatus? {
    switch result {
    case .success: nil
    case .failure(let failure): failure.status
    }
  }

  @Test("of a word that is not known leaves the guest waiting")
  func nonsense() throws {
    for words in ["", "gone", "departed", "departed flying"] {
      #expect(status(answer(try open(.source, .departed, .departed), words)) == .guestWaits, "\(words)")
    }
    for words in ["", "gone", "departed", "stays flying"] {
      #expect(status(answer(try open(.target, .arriving, .arrived), words)) == .guestWaits)
    }
  }

  @Test("does not begin where nothing is open")
  func nothing() throws {
    func refusal(_ guest: Guest) throws -> CommandFailure {
      try #require(throws: CommandFailure.self) { try Settlement(guest, peer: nil) }
    }
    #expect(try refusal(Samples.guest()).status == .nothingToAbort)
    let done = Samples.guest(.departed, Samples.migration(.done, .migrated))
    #expect(try refusal(done).status == .nothingToAbort)
    let under = try refusal(Samples.guest(.running, Samples.migration(.copying)))
    #expect(under.status == .handoffInProgress)
    #expect(under.remedy?.contains("batonctl abort vm1") == true)
    #expect(try refusal(Samples.guest(.lost, Samples.migration(.departed))).status == .guestLost)
  }

  @Test("that cannot be asked leaves the guest waiting, and says where it is")
  func unasked() throws {
    let settlement = try open(.target, .arriving, .arrived)
    let failure = settlement.unasked(
      CommandFailure("other host was not asked", cause: "linkLost", remedy: "again", status: .failure))
    #expect(failure.status == .guestWaits)
    #expect(failure.guestState == GuestState.arriving.clause)
    let forbidden = CommandFailure("not allowed", cause: "of this", status: .notAllowed)
    #expect(settlement.unasked(forbidden).status == .notAllowed)
  }

  @Test("of a VMM that does not answer names it")
  func undecided() throws {
    var guest = Samples.guest(.departing, Samples.migration(.departing))
    guest.owner = Samples.guest().owner
    let settlement = try Settlement(guest, peer: nil)
    guard case .failure(let failure) = answer(settlement, "undecided arrived") else {
      Issue.record("it was settled")
      return
    }
    #expect(failure.remedy?.contains("process 4711") == true)
  }
}

@Suite("The answer of baton-remote")
struct SidecarCallTests {
  @Test("is words after ok, or an error with its name")
  func parse() throws {
    #expect(try SidecarCall.parse(Array("ok departed running\n".utf8)) == ["departed", "running"])
    #expect(try SidecarCall.parse(Array("ok\n".utf8)) == [])
    let failure = try #require(throws: CommandFailure.self) {
      try SidecarCall.parse(Array("error wrongPeerName south is called north\n".utf8))
    }
    #expect(failure.cause == "wrongPeerName: south is called north")
    #expect(failure.remedy?.contains("--peer") == true)
    let forbidden = try #require(throws: CommandFailure.self) {
      try SidecarCall.parse(Array("error wrongPeer\n".utf8))
    }
    #expect(forbidden.status == .notAllowed && forbidden.cause == "wrongPeer")
    for text in ["", "ok departed", "\n", "maybe\n", "\u{1B}[2Jok\n"] {
      #expect(throws: CommandFailure.self) { try SidecarCall.parse(Array(text.utf8)) }
    }
  }

  @Test("does not come from a socket that is not there")
  func absent() throws {
    let failure = try #require(throws: CommandFailure.self) {
      try SidecarCall(path: "/nonexistent/remote.sock", timeoutNanoseconds: 1_000_000).ask("settle a b c")
    }
    #expect(failure.whatFailed == "baton-remote at /nonexistent/remote.sock cannot be reached")
  }
}

@Suite("Another host")
struct RemoteHostTests {
  @Test(
    "is a name or an address, with a port or without",
    arguments: [
      "south", "south.example.org", "south:4647", "10.0.0.2", "10.0.0.2:1", "[fe80::1%eth0]", "[::1]:65535",
    ])
  func good(_ text: String) {
    #expect(RemoteHost(argument: text)?.description == text)
  }

  @Test(
    "is nothing else",
    arguments: [
      "", " ", "south ", "a b", "south:", "south:0", "south:65536", "south:x", "::1", "[::1", "[::1]x",
      "[south]",
      ":4646", "-south", "a/b", "a\nb", "sü d", String(repeating: "a", count: 260),
    ])
  func bad(_ text: String) {
    #expect(RemoteHost(argument: text) == nil)
  }

  @Test("can be sent so much in a second")
  func rate() {
    let good: [(String, UInt64)] = [("1", 1), ("100K", 102_400), ("10m", 10 << 20), ("2G", 2 << 30)]
    for (text, bytes) in good { #expect(ByteRate(argument: text)?.bytesPerSecond == bytes) }
    for text in ["", "0", "-1", "M", "1T", "1.5M", "99999999999G"] {
      #expect(ByteRate(argument: text) == nil)
    }
  }
}

@Suite("The preflight of a migration")
struct RemotePreflightTests {
  @Test("has every check of the plan, and whether it would come to an end")
  func planned() {
    var plan = Samples.plan
    plan.checks = [Samples.check("agreement", .warn, "as it is")]
    let result = RemotePreflight(
      Samples.migration(.done, .planned, progress: plan), Samples.guest(), limits: MigrationLimits())
    #expect(result.checks.map(\.name) == ["agreement", "convergence"])
    #expect(result.checks.last?.detail == "would take 5 min 31 s, with a pause of 112 ms")
    #expect(result.verdict == .warn && result.plan?.checks == nil)
    let endless = RemotePreflight(
      Samples.migration(.done, .planned, progress: Samples.endless), Samples.guest(),
      limits: MigrationLimits())
    #expect(endless.verdict == .fail)
  }

  @Test("names the missing party of the agreement, with the checks that were made before")
  func missing() {
    var progress = Samples.plan
    progress.checks = [
      Samples.check("connection", .pass, "south answers"),
      Samples.check("agreement", .fail, "the firmware did not set SevLiveMigrationEnabled"),
    ]
    let refusal = Refusal(name: "agreementMissing", sentence: "not all agree; so", by: .source)
    let result = RemotePreflight(
      Samples.migration(.failed, .stayed, refusal: refusal, progress: progress), Samples.guest(),
      limits: MigrationLimits())
    #expect(result.checks.map(\.name) == ["connection", "agreement"])
    #expect(result.verdict == .fail)
    let table = CheckTable(
      subject: "vm1 to south", checks: result.checks, verdict: result.verdict,
      style: PictureStyle(unicode: false))
    #expect(
      table.lines(width: nil) == [
        "CHECK       VERDICT  DETAIL",
        "connection  pass     south answers",
        "agreement   fail     the firmware did not set SevLiveMigrationEnabled",
        "", "vm1 to south: fail",
      ])
  }

  @Test("has a refusal without a check as a check of that name")
  func refused() {
    let refusal = Refusal(name: "targetNotWaiting", sentence: "no VMM waits; the guest runs on", by: .source)
    let result = RemotePreflight(
      Samples.migration(.failed, .stayed, refusal: refusal), Samples.guest(), limits: MigrationLimits())
    #expect(result.checks.map(\.name) == ["targetNotWaiting"])
    #expect(result.checks.first?.detail == "no VMM waits")
    #expect(result.checks.first?.remedy == "start baton-vmm --incoming for this guest on south")
  }
}

@Suite("An upgrade with a fallback")
struct FallbackDecisionTests {
  private func decide(_ attempt: UpgradeEnd, after: Guest? = Samples.guest()) -> FallbackDecision {
    FallbackDecision(attempt, GuestReport(attempt, after: after))
  }

  @Test("moves the guest when the local way was refused, and says by what")
  func refused() {
    let refusal = Refusal(name: "stateUnreadable", sentence: "format 7 is newer than 6; so", by: .successor)
    #expect(
      decide(Samples.attempt(.aborted, refusal: refusal))
        == .move(reason: "stateUnreadable: format 7 is newer than 6"))
    func told(_ said: RegistryError) -> FallbackDecision {
      decide(
        UpgradeEnd(guest: "vm1", before: Samples.guest(), how: .failed(CommandFailure(said))))
    }
    let check = Check(.stateFormat, .fail, "too new")
    #expect(
      told(.preflightFailed(.init(guest: "vm1", checks: [check])))
        == .move(reason: "preflight failed: stateFormat: too new"))
    let device = Refusal(name: "sourceDeclined", sentence: "a device", by: .source)
    #expect(
      told(.refusedBySource(.init(guest: "vm1", refusal: device)))
        == .move(reason: "refused by the source: sourceDeclined: a device"))
  }

  @Test(
    "leaves it alone after an accident, or when there is nothing to move",
    arguments: FallbackDecision.accidents)
  func accident(_ name: String) {
    let refusal = Refusal(name: name, sentence: "of this", by: .registry)
    #expect(
      decide(Samples.attempt(.aborted, refusal: refusal))
        == .leave(why: "it was not refused, it failed (\(name))"))
  }

  @Test("leaves alone a guest that does not run here")
  func elsewhere() {
    let refusal = Refusal(name: "stateUnreadable", sentence: "of this", by: .successor)
    for state in [GuestState.waiting, .lost, .ended, .departed] {
      let decision = decide(
        Samples.attempt(.takenBack, refusal: refusal), after: Samples.guest(state, hasOwner: false))
      #expect(decision == .leave(why: "the guest does not run here"), "\(state)")
    }
    #expect(
      decide(Samples.attempt(.committed), after: Samples.guest(epoch: 4, slot: .b))
        == .leave(why: "it was upgraded here"))
    #expect(decide(Samples.failed(.notAllowed)) != .move(reason: "it failed: of this"))
  }
}
