import BatonCore
import BatonWire
import LinuxOS

/// Goes once through the code of the blackout with values that mean nothing, while the guest runs.
///
/// The first call of a function costs many times the second: its pages, the runtime's metadata and the
/// allocator's lists are cold then. What is rehearsed leaves nothing behind, and nothing leaves the process.
enum Rehearsal {
  /// Everything between freeze and stage and between claim and run; either side does both.
  ///
  /// - Parameter isGuestStopped: It waits for this process, and would wait longer for all pages of the program than for the
  ///   few that are needed.
  static func performHandoff(isGuestStopped: Bool) {
    if !isGuestStopped { ProgramImage.populate() }
    let format = StateFormat(name: "rehearsal", version: 1, features: 0)
    let envelope = StateEnvelope.encode(
      way: .token, handoff: 1, state: [UInt8](repeating: 1, count: 256))
    let stage = Stage(
      envelopeByteCount: UInt64(envelope.count), format: format, lastInstruction: MonotonicClock.now(),
      freezeStarted: 1, contextSent: 1)
    do {
      let memfd = try Memfd.create(name: "baton-rehearsal", byteCount: 0)
      try memfd.write(envelope, at: 0)
      try memfd.addSeals(.state)
      let pair = try SeqpacketSocket.pair()
      _ = try exchange(VMMMessage.stage(handoff: 1, stage).encoded(), memfd.number, over: pair)
      _ = try exchange(VMMMessage.received(handoff: 1).encoded(), nil, over: pair)
      _ = try exchange(VMMMessage.running(epoch: 1, firstInstruction: 1).encoded(), nil, over: pair)
      var successor = Successor(isFresh: false)
      var source = Source(way: .token, epoch: 1)
      source.offered(way: .token)
      for message in [
        RegistryMessage.freeze(handoff: 1), .claim(handoff: 1, stage), .run(epoch: 2), .release(nil),
      ] {
        let descriptor: Int32? = if case .claim = message { memfd.number } else { nil }
        let received = try RegistryMessage(
          decoding: try exchange(message.encoded(), descriptor, over: pair))
        _ = successor.take(received)
        _ = source.take(received)
      }
      _ = try memfd.seals()
      let bytes = try memfd.read(count: envelope.count + 1, at: 0)
      let header = try StateEnvelope.decodeHeader(bytes)
      _ = header.checksum == CRC32C.checksum(Array(bytes[StateEnvelope.headerByteCount...]))
    } catch {
      // A rehearsal that fails has warmed less; the real thing reports its own errors.
      return
    }
  }

  /// What is said between the guest's last instruction on one host and its first one on the other; either side does
  /// both.
  static func performMigration() {
    ProgramImage.populate()
    guard let id = MigrationID([UInt8](repeating: 1, count: MigrationID.byteCount)),
      let lock = DepartureLock([UInt8](repeating: 1, count: DepartureLock.byteCount)),
      let receipt = DepartureReceipt([UInt8](repeating: 1, count: DepartureReceipt.byteCount))
    else { return }
    var departure = Departure(id: id, lock: lock, epoch: 1, peer: "rehearsal")
    var arrival = Arrival(Arriving(id: id, lock: lock, epoch: 1, peer: "rehearsal"))
    do {
      let pair = try SeqpacketSocket.pair()
      for message in [
        arrival.arrived(), .departing(id), .departed(id), arrival.present(receipt),
        .running(epoch: 2, firstInstruction: 1),
      ] { _ = try exchange(message.encoded(), nil, over: pair) }
      for message in [
        RegistryMessage.arrivalJournalled(id), .depart(id, receipt), .release(nil), .run(epoch: 2),
      ] {
        let received = try RegistryMessage(decoding: try exchange(message.encoded(), nil, over: pair))
        if departure.take(received) == .sendFinish { _ = departure.sent() }
        _ = arrival.take(received)
      }
    } catch {
      // As above.
      return
    }
  }

  private static func exchange(
    _ message: Message, _ descriptor: Int32?, over pair: borrowing SeqpacketSocket.Pair
  ) throws -> Message {
    var assembler = MessageAssembler(version: ProtocolVersion.spoken.newest)
    var buffer = [UInt8](repeating: 0, count: RecordHeader.byteCount + 512)
    for record in message.records(version: ProtocolVersion.spoken.newest, sequence: 1) {
      try pair.first.send(record.bytes, descriptors: descriptor.map { [$0] } ?? [], wait: true)
      _ = try Poller.waitReadable(pair.second.descriptor.number, timeoutNanoseconds: 1_000_000_000)
      guard let received = try pair.second.receive(into: &buffer, wait: false) else { break }
      let bytes = Array(buffer[0..<received.byteCount])
      let count = received.descriptors.count
      if let complete = try assembler.take(bytes, descriptorCount: count) { return complete }
    }
    return message
  }
}
