import Baton
import BatonWire
import Harness
import LinuxOS
import Testing

/// Guests that come from another host, as far as a registry knows of them.
struct TestArrivals {
  private let lock: DepartureLock
  let ids: [MigrationID]

  init() throws {
    lock = try #require(DepartureLock([UInt8](repeating: 2, count: 32)))
    ids = try (1...2).map { try #require(MigrationID([UInt8](repeating: $0, count: 16))) }
  }

  /// Says that the guest `vm1` comes.
  func arrive(
    _ bench: Workbench, _ id: MigrationID, patience: UInt64 = 20_000
  ) throws -> ArrivingGuest {
    try ArrivingGuest(
      VMMIdentity(
        registry: bench.handoffSocket, guest: "vm1", build: "test",
        reads: ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0)),
      id: id, lock: lock, epoch: 5, peer: "north", manifest: Self.manifest, patienceMilliseconds: patience)
  }

  static let manifest = Manifest(
    way: .none, vcpuCount: 1, files: [RAMFile(device: 1, inode: 2, byteCount: 4096)],
    regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: 4096, file: 0, fileOffset: 0)], hasVM: false,
    names: [], format: StateFormat(name: "test", version: 1, features: 0), details: [])

  /// Says that everything is here.
  func arrived(_ arriving: consuming ArrivingGuest) throws -> ArrivedGuest {
    switch arriving.arrived(patienceMilliseconds: 20_000) {
    case .arrived(let guest): return guest
    case .failed(_, let error): throw error
    }
  }

  /// Tells until the registry has heard it.
  func tell(_ withdrawn: consuming WithdrawnArrival) throws {
    let deadline = MonotonicClock.now() + 20_000_000_000
    while try !withdrawn.process() {
      try #require(MonotonicClock.now() < deadline, "the registry does not answer a withdrawal")
      _ = try Poller.waitReadable(withdrawn.descriptor, timeoutNanoseconds: 20_000_000)
    }
  }
}
