import BatonCore
import BatonWire

@testable import LinuxOS
@testable import RegistryService

/// Descriptors of one guest as a service manager would give them back, from descriptor ``first`` on.
struct StoredHandoff {
  static let first: Int32 = 720
  static let user: UInt32 = 4242

  let attempt: StoredAttempt
  let manifest: Manifest
  let stage: Stage
  let names: [String]

  /// - Parameters:
  ///   - isStaged: Whether the stage was noted.
  ///   - without: A kind that is missing.
  init(guest: GuestName, way: Way, isStaged: Bool = true, without: StoredName.Kind? = nil) throws {
    let attempt = StoredAttempt(guest: guest, epoch: 2, handoff: 7)
    let ram = try Memfd.create(name: "ram", byteCount: 8192)
    try ram.addSeals(.ram)
    let identity = try ram.identity()
    let envelope = UInt64(StateEnvelope.headerByteCount)
    let state = try Memfd.create(name: "state", byteCount: envelope)
    try state.addSeals(.state)
    let vm = try Memfd.create(name: "vm", byteCount: 0)
    let disk = try Memfd.create(name: "disk", byteCount: 0)
    let manifest = Manifest(
      way: way, vcpuCount: 1,
      files: [RAMFile(device: identity.device, inode: identity.inode, byteCount: identity.byteCount)],
      regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: 8192, file: 0, fileOffset: 0)], hasVM: true,
      names: ["disk"], format: StateFormat(name: "baton-vmm", version: 1, features: 0))
    let stage = Stage(
      envelopeByteCount: envelope, format: manifest.format, lastInstruction: 1, freezeStarted: 1,
      contextSent: 2)
    let facts = try StoredFacts.create(user: Self.user, handoff: attempt.handoff, manifest: manifest)
    if isStaged { facts.note(stage, handoff: attempt.handoff) }
    // Not in the order in which they were put there: nobody promises one.
    var number = Self.first
    var names: [String] = []
    func put(_ kind: StoredName.Kind, _ descriptor: borrowing OwnedDescriptor) throws {
      guard kind != without else { return }
      try place(descriptor, at: number)
      names.append(StoredName(kind, attempt).text)
      number += 1
    }
    try put(.named(0), disk)
    try put(.vm, vm)
    try put(.state, state)
    try put(.ram(0), ram)
    try put(.facts, facts.memfd)
    self.attempt = attempt
    self.manifest = manifest
    self.stage = stage
    self.names = names
  }

  func passed(also: [String] = []) -> PassedDescriptors {
    PassedDescriptors(names: names + also, from: Self.first)
  }

  func record(_ phase: GuestRecord.Phase, epoch: UInt64 = 2) -> GuestRecord {
    GuestRecord(
      name: attempt.guest, way: manifest.way, owner: ProcessID(pid: 1_000_001, startTime: 1), epoch: epoch,
      phase: phase, handoff: attempt.handoff, claimant: nil)
  }
}
