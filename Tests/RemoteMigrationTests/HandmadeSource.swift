import BatonWire
import LinuxOS
import MigrationCore
import RemoteMigration

/// The source's end of a migration as a test makes it, frame by frame, against a real target's end.
final class HandmadeSource {
  let socket: StreamSocket
  var stream = SourceStream()
  let incoming: IncomingMigration
  let target: FakeTargetGuest

  /// Comes as far as the offer, which the target has not answered.
  init(silenceNanoseconds: UInt64 = 10_000_000_000) throws {
    let pair = try StreamSocket.pair()
    socket = pair.first
    incoming = IncomingMigration(
      connected: pair.second, host: "south.test", build: "test", silenceNanoseconds: silenceNanoseconds,
      maximumRAM: UInt64(TestRAM.byteCount))
    target = try FakeTargetGuest()
    let receipt = DepartureReceipt.random()
    let id = MigrationID.random()
    try send(
      .preamble(
        Preamble(
          intent: .migrate, required: [], offered: .spoken, id: id, lock: DepartureLock(of: receipt, for: id),
          epoch: 1, key: BatchKey(), guest: "vm1", host: "north", build: "test")))
    _ = try next()
    try send(
      .manifest(MachineOffer(manifest: TestRAM.manifest(), kind: .none, policy: 0, parties: [], facts: [])))
    while true {
      if case .offered = try incoming.step(for: 1_000_000) { return }
    }
  }

  private func send(_ frame: SourceFrame) throws {
    let bytes = try stream.send(frame)
    guard try socket.send(bytes[...]) == bytes.count else {
      throw MigrationFailure(.linkLost, "a frame does not fit")
    }
  }

  /// The target's next frame; the target is stepped meanwhile.
  func next() throws -> TargetFrame {
    let deadline = MonotonicClock.now() + 10_000_000_000
    while MonotonicClock.now() < deadline {
      if let frame = try arrived() { return frame }
      _ = try incoming.step(for: 1_000_000)
    }
    throw MigrationFailure(.deadlinePassed, "the target says nothing")
  }

  /// A frame that is here already; nil if there is none.
  func arrived() throws -> TargetFrame? {
    if let bytes = try socket.receive() { stream.receive(bytes) }
    return try stream.next()
  }
}
