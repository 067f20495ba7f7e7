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

  static func hello(_ standing: Standing, manifest: Manifest? = nil) -> VMMMessage {
    .hello(Hello(guest: "vm1", standing: standing, build: "baton-vmm 0.1", reads: reads, manifest: manifest))
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

  /// Every sample as a message, with its name.
  static var all: [(name: String, message: Message)] {
    fromVMM.map { ($0.0, $0.1.encoded()) } + fromRegistry.map { ($0.0, $0.1.encoded()) }
  }

  /// How many VM descriptors may follow a sample's own.
  static func mostContextVMs(_ name: String) -> Int {
    fromVMM.first { $0.0 == name }?.1.mostContextVMs
      ?? fromRegistry.first { $0.0 == name }?.1.mostContextVMs ?? 0
  }

  static func isReadable(_ message: Message) -> Bool {
    if message.type > 100 { return (try? RegistryMessage(decoding: message)) != nil }
    return (try? VMMMessage(decoding: message)) != nil
  }
}
