import BatonWire
import FoundationEssentials
import Harness
import LinuxOS
import RegistryInterface
import Testing

/// The test process as the owner of a guest: it says exactly what a test wants said, on as many connections, one
/// after the other, as the test breaks.
///
/// The registry takes the whole process for a VMM and ends it when it does not let go; so the registry of such a
/// test gets a release deadline that does not pass.
final class ScriptedOwner {
  static let options = ["--quiet", "--release-ms", "600000"]

  let name: String
  let epoch: UInt64
  private let path: String
  /// The connection of now.
  private(set) var peer: RecordPeer

  /// Begins a guest.
  init(_ bench: Workbench, _ name: String = "vm9") throws {
    let peer = try RecordPeer(path: bench.handoffSocket)
    try peer.send(.hello(RecordPeer.hello(name, .fresh)))
    let epoch = try peer.awaitMessage("the verdict") {
      if case .run(let epoch) = $0 { epoch } else { nil }
    }
    try peer.send(.running(epoch: epoch, firstInstruction: 1))
    self.name = name
    self.epoch = epoch
    self.peer = peer
    path = bench.handoffSocket
  }

  /// Comes again on a new connection, as an owner whose guest runs on.
  @discardableResult
  func comeAgain() throws -> RecordPeer {
    peer = try RecordPeer(path: path)
    try peer.send(.hello(RecordPeer.hello(name, .running(epoch))))
    let role = try peer.awaitMessage("the welcome") {
      if case .welcome(let welcome) = $0 { welcome.role } else { nil }
    }
    #expect(role == .owner)
    return peer
  }

  /// Checks that nothing of the guest was lost or changed.
  func expectUnchanged(_ bench: Workbench) throws {
    try comeAgain()
    let guest = try bench.guest(name)
    #expect(guest.state == .running)
    #expect(guest.epoch == epoch)
    #expect(guest.owner?.processId == ThisProcess.pid)
    #expect(guest.handoff == nil)
  }
}

extension RecordPeer {
  /// Waits for a message that means something to the caller; the others are passed over.
  func awaitMessage<Meaning>(
    _ what: String, seconds: Double = 10, _ meaning: (RegistryMessage) -> Meaning?
  ) throws -> Meaning {
    while true {
      switch try next(seconds: seconds) {
      case .message(let message): if let found = meaning(message) { return found }
      case .closed: throw HarnessFailure("\(what) did not come, the registry closed the connection")
      case .silence: throw HarnessFailure("\(what) did not come within \(seconds) s")
      }
    }
  }

  /// Sends a message in one record whose header announces what it likes.
  func send(
    _ message: VMMMessage, announcing announced: Int, version: UInt16 = 1, descriptors: [Int32] = []
  ) throws {
    var bytes = ByteWriter()
    let payload = message.encoded().payload
    RecordHeader(
      version: version, type: message.type, sequence: nextSequence, payloadByteCount: payload.count,
      descriptorCount: announced, isContinued: false
    ).encode(into: &bytes)
    bytes.write(raw: payload)
    try send(raw: bytes.bytes, descriptors: descriptors)
  }

  /// Sends a header of any content with a payload of any length.
  func send(header: RecordHeader, payload: Int, descriptors: [Int32] = []) throws {
    var bytes = ByteWriter()
    header.encode(into: &bytes)
    bytes.write(raw: [UInt8](repeating: 0, count: payload))
    try send(raw: bytes.bytes, descriptors: descriptors)
  }
}

/// Guest RAM of the size that ``Scene/plan(_:custody:)`` has, and an offer of it that a real successor takes.
struct ScriptedRAM: ~Copyable {
  private let ram: OwnedDescriptor
  private let state: OwnedDescriptor
  let manifest: Manifest

  init() throws {
    let size: UInt64 = 16 << 20
    let ram = try Memfd.create(name: "ram", byteCount: size)
    try ram.addSeals(.ram)
    let state = try Memfd.create(name: "state", byteCount: 0)
    let identity = try ram.identity()
    self.ram = ram
    self.state = state
    manifest = Manifest(
      way: .none, vcpuCount: 2,
      files: [RAMFile(device: identity.device, inode: identity.inode, byteCount: size)],
      regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: size, file: 0, fileOffset: 0)], hasVM: false,
      names: [], format: StateFormat(name: "baton-vmm", version: 2, features: 1))
  }

  /// In an offer's order.
  var descriptors: [Int32] { [ram.number, state.number] }
}

/// One message of each type that a VMM can send.
enum EveryMessage {
  static let all: [VMMMessage] = {
    let format = StateFormat(name: "baton-vmm", version: 1, features: 0)
    let stage = Stage(
      envelopeByteCount: 100, format: format, lastInstruction: 1, freezeStarted: 1, contextSent: 1)
    let manifest = Manifest(
      way: .none, vcpuCount: 1, files: [RAMFile(device: 1, inode: 1, byteCount: 4096)],
      regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: 4096, file: 0, fileOffset: 0)], hasVM: false,
      names: ["disk"], format: format)
    return [
      .hello(RecordPeer.hello("vm9", .attached(prepared: 0), manifest: manifest)),
      .offer(handoff: 1, manifest), .ready(handoff: 1), .stage(handoff: 1, stage), .received(handoff: 1),
      .refused(handoff: 1, used: true), .tookBack(handoff: 1), .used(handoff: 1), .resumed(handoff: 1),
      .running(epoch: 1, firstInstruction: 1), .declined(handoff: 1, .successorDeclined, "no"),
      .preflightReport([PreflightCheck(name: "way", verdict: .pass, detail: "x")]), .ended(epoch: 1),
      .described(manifest), .park(epoch: 1),
    ] + ofMigrations
  }()

  private static let ofMigrations: [VMMMessage] = {
    guard let id = MigrationID([UInt8](repeating: 1, count: MigrationID.byteCount)),
      let receipt = DepartureReceipt([UInt8](repeating: 2, count: DepartureReceipt.byteCount))
    else { return [] }
    return [
      .departing(id), .departed(id), .stays(id, .linkLost, "no"), .arrived(id), .receipt(id, receipt),
      .migrationReport(id, MigrationReport(phase: .copying)), .confirmed(id),
    ]
  }()

  /// The compiler tells when a type is added that is not in the list.
  static func isListed(_ message: VMMMessage) -> Bool {
    switch message {
    case .hello, .offer, .ready, .stage, .received, .refused, .tookBack, .used, .resumed, .running, .declined,
      .preflightReport, .ended, .described, .park, .departing, .departed, .stays, .arrived, .receipt,
      .migrationReport, .confirmed:
      all.contains { $0.type == message.type }
    }
  }
}

extension TestProcess {
  /// How many descriptors the process has open, or nil when that may not be seen.
  var openDescriptors: Int? {
    try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(pid)/fd").count
  }
}
