import Baton
import BatonWire
import LinuxOS

/// The worked example of Docs/vmm-authors.md: a VMM whose guest is a counter at the start of a memfd.
///
/// It has no vCPUs and no SEV context, so that only the handoff is left to read. One call of
/// ``tick()`` is one guest instruction.
final class ExampleVMM {
  static let format = StateFormat(name: "example", version: 1, features: 0)
  private let identity: VMMIdentity
  private var memory: SharedMapping?
  private var ram: OwnedDescriptor?
  /// What this VMM saw of the guest, for the tests.
  private(set) var epochs: [UInt64] = []
  private(set) var wasReleased = false
  /// At which counter this process is to be replaced.
  private let leavesAt: UInt64?
  private var hasAskedToPark = false

  init(registry: String, guest: String, leavesAt: UInt64?) {
    self.leavesAt = leavesAt
    identity = VMMIdentity(
      registry: registry, guest: guest, build: "example 1",
      reads: ReadableFormats(name: "example", oldest: 1, newest: 1, features: 0))
  }

  var counter: UInt64 { memory?.load64(at: 0) ?? 0 }
  private func tick() { memory?.store64(counter + 1, at: 0) }

  /// Lives until the guest has left, or until `isOver` says so.
  func live(isOver: () -> Bool) throws {
    let applicant = try Applicant(identity)
    switch try applicant.awaitAdmission(milliseconds: 10_000) {
    case .firstOwner(let permit):
      let made = try Memfd.create(name: "example-ram", byteCount: 65_536)
      try made.addSeals(.ram)
      memory = try SharedMapping(made, byteCount: 65_536)
      ram = consume made
      try own(permit, isOver: isOver)
    case .offered(let offer): try takeOver(offer, isOver: isOver)
    case .released: wasReleased = true
    }
  }

  private func manifest() throws -> Manifest {
    guard let file = try ram?.identity() else { throw BatonError.badState("there is no RAM") }
    return Manifest(
      way: .none, vcpuCount: 1,
      files: [RAMFile(device: file.device, inode: file.inode, byteCount: file.byteCount)],
      regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: 65_536, file: 0, fileOffset: 0)],
      hasVM: false, names: [], format: Self.format)
  }

  // MARK: Successor

  private func takeOver(_ offer: consuming Offer, isOver: () -> Bool) throws {
    try offer.check()
    let isGuestStopped = offer.isGuestStopped
    let taken = try offer.take()
    var parts = taken.parts
    let preparing = taken.next
    guard let handed = parts.ram.popFirst() else {
      return try preparing.decline(.descriptorMismatch, "there is no RAM")
    }
    // A guest that waits in custody waits for this VMM alone: then what can come later comes later.
    memory = try SharedMapping(handed, byteCount: 65_536, populate: !isGuestStopped)
    ram = consume handed
    let prepared = try preparing.ready()
    switch try prepared.awaitClaim(milliseconds: 10_000) {
    case .claim(let claim):
      let envelope = try claim.readEnvelope()
      // The state of this guest is the counter it had: restoring it means to check it.
      var reader = ByteReader(Array(envelope[StateEnvelope.headerByteCount...]))
      guard try reader.read(UInt64.self, "counter") == counter else { return try claim.giveBack() }
      switch try claim.received().awaitVerdict() {
      case .run(let permit): try own(permit, isOver: isOver)
      case .release: wasReleased = true
      }
    case .offered(let again): try takeOver(again, isOver: isOver)
    case .released: wasReleased = true
    }
  }

  // MARK: Owner

  private enum Next: ~Copyable {
    case goesOn(RunningGuest)
    case over
  }

  private func own(_ permit: consuming RunPermit, isOver: () -> Bool) throws {
    epochs.append(permit.epoch)
    var guest: RunningGuest? = permit.run(manifest: try manifest()) {
      tick()
      return MonotonicClock.now()
    }
    while var running = guest.take() {
      if isOver() { return running.end() }
      if let leavesAt, counter >= leavesAt, !hasAskedToPark {
        hasAskedToPark = true
        running.park()
      }
      guard let order = try running.process() else {
        tick()
        _ = try Poller.waitReadable(running.descriptor, timeoutNanoseconds: 1_000_000)
        guest = consume running
        continue
      }
      switch try carryOut(order, running) {
      case .goesOn(let next): guest = consume next
      case .over: return
      }
    }
  }

  private func carryOut(
    _ order: RunningGuest.Order, _ running: consuming RunningGuest
  ) throws -> Next {
    switch order {
    case .prepare(let handoff):
      try running.offer(
        handoff: handoff, try manifest(), ram: [ram?.number ?? -1], vm: nil, named: [])
    case .freeze(let handoff): return try handOver(running, handoff)
    case .preflight:
      try running.report([PreflightCheck(name: "example", verdict: .pass, detail: "a counter")])
    case .release:
      wasReleased = true
      return .over
    // What was asked for did not come about, for example because the descriptor store is full.
    case .attemptOver: hasAskedToPark = false
    case .migrate(let order):
      running.stays(order.id, .sourceDeclined, "this VMM has no way to another host")
    // It never works on a migration.
    case .cancelMigration: break
    }
    return .goesOn(running)
  }

  private func handOver(_ running: consuming RunningGuest, _ handoff: UInt64) throws -> Next {
    // Nothing ticks from here on: this thread is the guest's only vCPU.
    let now = MonotonicClock.now()
    let frozen = running.freeze(handoff: handoff, since: now)
    var state = ByteWriter()
    state.write(counter)
    // A plain guest has no baton to place: the state alone is what lets a process take it.
    let staged = try frozen.stage(state: state.bytes, lastInstruction: now) { _ in }
    switch try staged.awaitVerdict(takeBack: { true }) {
    case .release:
      wasReleased = true
      return .over
    case .run(let permit):
      epochs.append(permit.epoch)
      hasAskedToPark = false
      return .goesOn(
        permit.run(manifest: try manifest()) {
          tick()
          return MonotonicClock.now()
        })
    }
  }
}

/// `example-vmm SOCKET GUEST TICKS [PARK]`: runs or takes over the guest, ends it when its counter is TICKS. When it
/// is PARK, the guest is left in custody for whoever comes next.
@main
struct Example {
  static func main() throws {
    let arguments = CommandLine.arguments
    guard (4...5).contains(arguments.count), let ticks = UInt64(arguments[3]) else {
      StandardStream.error.write("usage: example-vmm SOCKET GUEST TICKS [PARK]\n")
      return
    }
    let vmm = ExampleVMM(
      registry: arguments[1], guest: arguments[2], leavesAt: arguments.count > 4 ? UInt64(arguments[4]) : nil)
    try vmm.live { vmm.counter >= ticks }
    let epochs = vmm.epochs.map(String.init).joined(separator: ",")
    StandardStream.output.write(
      "{\"counter\":\(vmm.counter),\"epochs\":[\(epochs)],\"released\":\(vmm.wasReleased)}\n")
  }
}
