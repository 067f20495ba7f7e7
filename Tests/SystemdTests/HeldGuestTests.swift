import BatonCore
import BatonWire
import Testing

/// The failure table's last row: registry, source and successor end at once, and what the descriptor store had
/// kept is all that is left.
@Suite("A guest whose registry and VMMs ended at once")
struct HeldGuestTests {
  private static let source = ProcessID(pid: 10, startTime: 1)
  private static let claimant = ProcessID(pid: 11, startTime: 1)
  private static let next = ProcessID(pid: 12, startTime: 1)

  private struct World {
    var registry: Registry
    let guest: GuestName
    let stage: Stage

    mutating func take(_ event: RegistryEvent) -> [Effect] { registry.handle(event, for: guest) }
    var phase: GuestRecord.Phase? { registry[guest]?.record.phase }
  }

  private func restore(
    _ phase: GuestRecord.Phase, _ way: Way, hasVM: Bool = true, isHeld: Bool = true,
    successors: Set<ProcessID> = []
  ) throws -> World {
    let guest = try #require(GuestName("vm1"))
    let format = StateFormat(name: "baton-vmm", version: 1, features: 0)
    let manifest = Manifest(
      way: way, vcpuCount: 1, files: [RAMFile(device: 1, inode: 2, byteCount: 4096)],
      regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: 4096, file: 0, fileOffset: 0)], hasVM: hasVM,
      names: [], format: format)
    let stage = Stage(
      envelopeByteCount: 9, format: format, lastInstruction: 1, freezeStarted: 1, contextSent: 2)
    var custody = GuestMachine.Custody()
    custody.hasRAM = true
    custody.hasState = true
    custody.hasVM = hasVM
    custody.successors = successors
    let record = GuestRecord(
      name: guest, way: way, owner: Self.source, epoch: 4, phase: phase, handoff: 9,
      claimant: phase == .staged ? nil : Self.claimant)
    let held = GuestMachine.Held(custody: custody, manifest: manifest, stage: stage)
    let (registry, _) = Registry.restored([record], held: isHeld ? [guest: held] : [:])
    var world = World(registry: registry, guest: guest, stage: stage)
    _ = world.take(.died(Self.source))
    if phase != .staged { _ = world.take(.died(Self.claimant)) }
    return world
  }

  @Test(
    "waits, staged, for a next claimant, which gets it",
    arguments: [GuestRecord.Phase.staged, .claimed, .rollback], [Way.token, .none, .move])
  func nextClaimant(_ phase: GuestRecord.Phase, _ way: Way) throws {
    var world = try restore(phase, way)
    #expect(world.phase == .staged)
    let reads = ReadableFormats(name: "baton-vmm", oldest: 1, newest: 1, features: 0)
    let attached = world.take(
      .hello(Self.next, .attach(prepared: 0), reads: reads, manifest: nil, isAlive: true))
    #expect(
      attached.contains {
        if case .send(.offered(9, _, isGuestStopped: true), Self.next) = $0 { true } else { false }
      })
    let ready = world.take(.report(Self.next, .ready(9), isAlive: true, bringsVM: way == .move))
    #expect(
      ready.contains {
        switch $0 {
        case .send(.claim(9, world.stage), Self.next), .give(.claim(9, world.stage), _, Self.next): true
        default: false
        }
      })
    let received = world.take(.report(Self.next, .received(9), isAlive: true))
    #expect(received.contains(.send(.run(epoch: 5), to: Self.next)))
    #expect(received.contains(.emptyCustody))
  }

  @Test("is given to nobody before a former claimant that is gone was seen dead")
  func formerClaimant() throws {
    var world = try restore(.staged, .move, successors: [Self.claimant])
    let reads = ReadableFormats(name: "baton-vmm", oldest: 1, newest: 1, features: 0)
    _ = world.take(.hello(Self.next, .attach(prepared: 0), reads: reads, manifest: nil, isAlive: true))
    _ = world.take(.report(Self.next, .ready(9), isAlive: true, bringsVM: true))
    #expect(world.phase == .staged)
    let seen = world.take(.died(Self.claimant))
    let granted = seen.compactMap { effect -> [ProcessID]? in
      if case .give(.claim, let grant, Self.next) = effect { grant.successors } else { nil }
    }
    #expect(granted == [[Self.claimant]])
  }

  @Test("is lost when nothing was kept", arguments: [GuestRecord.Phase.staged, .claimed, .rollback])
  func nothingKept(_ phase: GuestRecord.Phase) throws {
    #expect(try restore(phase, .none, isHeld: false).phase == .lost)
  }

  @Test("is lost with its token when its VM was not kept")
  func noVM() throws {
    #expect(try restore(.staged, .token, hasVM: false).phase == .lost)
    #expect(try restore(.staged, .none, hasVM: false).phase == .staged)
  }

  @Test("that ran on its source has ended with it, whatever was kept")
  func ranOn() throws {
    #expect(try restore(.idle, .token).phase == .ended)
  }
}
