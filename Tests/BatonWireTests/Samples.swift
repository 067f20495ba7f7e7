import BatonWire

/// One value of each message, with every optional part present; golden transcripts and the
/// truncation tests use them.
enum Samples {
  static let format = StateFormat(name: "baton-vmm", version: 2, features: 0x5)
  static let reads = ReadableFormats(name: "baton-vmm", oldest: 1, newest: 2, features: 0xF)
  static let manifest = Manifest(
    way: .token, vcpuCount: 2,
    files: [RAMFile(device: 1, inode: 4711, byteCount: 0x4000_0000)],
    regions: [
      RAMRegion(guestPhysicalAddress: 0, byteCount: 0x3000_0000, file: 0, fileOffset: 0),
      RAMRegion(
        guestPhysicalAddress: 0x1_0000_0000, byteCount: 0x1000_0000, file: 0, fileOffset: 0x3000_0000),
    ], hasVM: true, names: ["console", "disk"], format: format, details: [1, 2, 3])
  static let stage = Stage(
    envelopeByteCount: 204, format: format, lastInstruction: 1_000_001, freezeStarted: 1_000_000,
    contextSent: 1_000_050)

  static func hello(
    _ standing: Standing, manifest: Manifest? = nil, newest: UInt16 = 1
  ) -> VMMMessage {
    .hello(
      Hello(
        versions: ProtocolVersion(oldest: 1, newest: newest), guest: "vm1", standing: standing,
        build: "baton-vmm 0.1", reads: reads, manifest: manifest))
  }

  static let fromVMM: [(String, VMMMessage)] = [
    ("hello-fresh", hello(.fresh)),
    ("hello-attached", hello(.attached(prepared: 7))),
    ("hello-claiming", hello(.claiming(7))),
    ("hello-received", hello(.received(7), manifest: manifest)),
    ("hello-returned", hello(.refused(7, returned: stage), manifest: manifest)),
    ("hello-used", hello(.refused(7, returned: nil))),
    ("hello-staged", hello(.staged(7, stage), manifest: manifest)),
    ("hello-tookBack", hello(.tookBack(7), manifest: manifest)),
    ("hello-running", hello(.running(3), manifest: manifest)),
    ("offer", .offer(handoff: 7, manifest)),
    ("ready", .ready(handoff: 7)),
    ("stage", .stage(handoff: 7, stage)),
    ("received", .received(handoff: 7)),
    ("refused-used", .refused(handoff: 7, used: true)),
    ("refused-unused", .refused(handoff: 7, used: false)),
    ("tookBack", .tookBack(handoff: 7)),
    ("used", .used(handoff: 7)),
    ("resumed", .resumed(handoff: 7)),
    ("running", .running(epoch: 4, firstInstruction: 2_000_000)),
    ("declined", .declined(handoff: 7, .stateUnreadable, "format 9 is too new")),
    (
      "preflightReport",
      .preflightReport([
        PreflightCheck(name: "way", verdict: .pass, detail: "token"),
        PreflightCheck(name: "ram-seals", verdict: .fail, detail: "no seals", remedy: "add seals"),
      ])
    ),
    ("ended", .ended(epoch: 4)),
    ("described", .described(manifest)),
    ("park", .park(epoch: 4)),
  ]

  static let migrationID = MigrationID((0..<16).map { UInt8($0) })
  static let lock = DepartureLock((0..<32).map { UInt8(0x20 + $0) })
  static let receipt = DepartureReceipt((0..<32).map { UInt8(0x80 + $0) })

  static var report: MigrationReport {
    var report = MigrationReport(phase: .copying)
    report.round = 2
    report.pagesTotal = 3
    report.pagesSent = 4
    report.pagesRemaining = 5
    report.bytesSent = 6
    report.pagesPerSecond = 7
    report.dirtyPagesPerSecond = 8
    report.expectedMilliseconds = 9
    report.expectedPauseMilliseconds = 10
    report.willConverge = true
    report.elapsedMilliseconds = 11
    report.pauseMicroseconds = 12
    report.expectedRounds = 13
    report.encryptedPages = 14
    report.plainPages = 15
    report.zeroPages = 16
    report.linkBytesPerSecond = 17
    report.workingSetPages = 18
    report.maxPauseMilliseconds = 19
    report.expectedPauseMicroseconds = 20
    report.text = "on its way"
    report.checks = [PreflightCheck(name: "way", verdict: .pass, detail: "token")]
    return report
  }

  /// The records that version 2 adds.
  static let migrationFromVMM: [(String, VMMMessage)] = {
    guard let id = migrationID, let lock, let receipt else { return [] }
    return [
      (
        "hello-arriving",
        hello(
          .arriving(Arriving(id: id, lock: lock, epoch: 3, peer: "north", isArrived: true)),
          manifest: manifest, newest: 2)
      ),
      (
        "hello-departing",
        hello(
          .departing(
            Departing(
              id: id, lock: lock, epoch: 3, peer: "south", step: .permitted, receipt: receipt)),
          newest: 2)
      ),
      ("departing", .departing(id)),
      ("departed", .departed(id)),
      ("stays", .stays(id, .linkLost, "no route")),
      ("arrived", .arrived(id)),
      ("receipt", .receipt(id, receipt)),
      ("migrationReport", .migrationReport(id, report)),
      ("confirmed", .confirmed(id)),
    ]
  }()

  static let migrationFromRegistry: [(String, RegistryMessage)] = {
    guard let id = migrationID, let lock, let receipt else { return [] }
    var request = MigrationRequest(host: "south:4646")
    request.maxTimeSeconds = 60
    request.bandwidthBytesPerSecond = 1_000_000
    request.allowsNonconvergence = true
    return [
      ("migrate", .migrate(id, lock, request)),
      ("depart", .depart(id, receipt)),
      ("cancelMigration", .cancelMigration(id)),
      ("arrivalJournalled", .arrivalJournalled(id)),
    ]
  }()

  static let fromRegistry: [(String, RegistryMessage)] = [
    ("welcome", .welcome(Welcome(version: 1, role: .successor, deadlines: Deadlines()))),
    ("prepare", .prepare(handoff: 7)),
    ("offered", .offered(handoff: 7, manifest, isGuestStopped: false)),
    ("offered-stopped", .offered(handoff: 7, manifest, isGuestStopped: true)),
    ("freeze", .freeze(handoff: 7)),
    ("claim", .claim(handoff: 7, stage)),
    ("takeBack", .takeBack(handoff: 7)),
    ("run", .run(epoch: 4)),
    ("release", .release(nil)),
    ("release-refusal", .release(.takenBack)),
    ("refusal", .refusal(.batonUsed, "the baton of handoff 7 was used")),
    ("preflight", .preflight),
  ]

  /// Every sample of version 1 as a message, with its name.
  static var firstVersion: [(name: String, message: Message)] {
    fromVMM.map { ($0.0, $0.1.encoded()) } + fromRegistry.map { ($0.0, $0.1.encoded()) }
  }

  /// Every sample that version 2 adds.
  static var secondVersion: [(name: String, message: Message)] {
    migrationFromVMM.map { ($0.0, $0.1.encoded()) } + migrationFromRegistry.map { ($0.0, $0.1.encoded()) }
  }

  /// Every sample.
  static var all: [(name: String, message: Message)] { firstVersion + secondVersion }

  static var everythingFromVMM: [(String, VMMMessage)] { fromVMM + migrationFromVMM }
  static var everythingFromRegistry: [(String, RegistryMessage)] { fromRegistry + migrationFromRegistry }

  /// How many VM descriptors may follow a sample's own.
  static func mostContextVMs(_ name: String) -> Int {
    everythingFromVMM.first { $0.0 == name }?.1.mostContextVMs
      ?? everythingFromRegistry.first { $0.0 == name }?.1.mostContextVMs ?? 0
  }

  static func isReadable(_ message: Message) -> Bool {
    if message.type > 100 { return (try? RegistryMessage(decoding: message)) != nil }
    return (try? VMMMessage(decoding: message)) != nil
  }
}
