import BatonWire
import LinuxOS
import MigrationCore
import RemoteMigration
import SEVABI
import Testing

/// Both ends of a migration in one thread, with a relay between them that may do harm.
final class Rehearsal {
  /// What becomes of a frame of the source's: what is passed on instead; nil cuts the connection.
  typealias Relay = (_ number: Int, _ frame: [UInt8]) -> [[UInt8]]?

  struct Outcome {
    var sourceFailure: MigrationFailure?
    var targetFailure: MigrationFailure?
    var cancelled: (refusal: Refusal?, text: String)?
    var plan: MigrationReport?
    var reachedReady = false
    var end: SendingEnd?
    var receipt: DepartureReceipt?
    var first: FirstInstruction?
    var state: [UInt8]?
    /// Frames of the source that came to the relay, by type.
    var frames: [UInt16] = []
    var rounds: [PageCounts] = []
    /// The guest has stopped for the pause.
    var hasStopped = false
    /// How often it was let run on.
    var stoppedInVain = 0
  }

  let source: FakeSourceGuest
  let target: FakeTargetGuest
  var request = MigrationRequest(host: "south.test")
  var kind = SEVKind.none
  var answer: (IncomingMigration, MachineOffer) throws(MigrationFailure) -> Void
  var relay: Relay = { _, frame in [frame] }
  var finalWrites: [Int] = []
  /// The same for the guest's first stops, the last one first.
  var bursts: [[Int]] = []
  let savedState = (0..<5000).map { UInt8(truncatingIfNeeded: $0 * 7) }
  let receipt = DepartureReceipt.random()
  let id = MigrationID.random()
  var silence: UInt64 = 10_000_000_000
  /// Whether the target makes its RAM ready for another source when this one has ended it.
  var erases = false
  /// What happens at the target between ready and the receipt.
  var departs = true

  init(_ source: FakeSourceGuest, _ target: FakeTargetGuest) {
    self.source = source
    self.target = target
    answer = { incoming, _ throws(MigrationFailure) in
      try incoming.accept(target, try target.encryption?.facts() ?? .withoutEncryption())
    }
  }

  func run() throws -> Outcome {
    var outcome = Outcome()
    let left = try StreamSocket.pair()
    let right = try StreamSocket.pair()
    let wire = Wire(left.second, right.first, relay)
    var order = OutgoingMigration.Order(
      id: id, lock: DepartureLock(of: receipt, for: id), request: request, guest: "vm1", epoch: 4,
      host: "north.test", build: "test 1", socketPath: "")
    order.silenceNanoseconds = silence
    let offer = MachineOffer(
      manifest: TestRAM.manifest(), kind: kind, policy: source.encryption?.policy.rawValue ?? 0, parties: [],
      facts: [])
    let outgoing = try OutgoingMigration(
      order, source, offer: offer, checks: [], connected: left.first)
    let incoming = IncomingMigration(
      connected: right.second, host: "south.test", build: "test 1", silenceNanoseconds: silence,
      maximumRAM: UInt64(TestRAM.byteCount))
    let deadline = MonotonicClock.now() + 20_000_000_000
    var sourceGoesOn = true
    var targetGoesOn = true
    while sourceGoesOn || targetGoesOn {
      try #require(MonotonicClock.now() < deadline, "neither end comes to an end")
      wire.pump(&outcome.frames)
      if sourceGoesOn {
        do throws(MigrationFailure) {
          sourceGoesOn = try stepSource(outgoing, &outcome)
        } catch {
          outcome.sourceFailure = error
          try? outgoing.abandon(error)
          sourceGoesOn = false
        }
      }
      wire.pump(&outcome.frames)
      if targetGoesOn {
        do throws(MigrationFailure) {
          targetGoesOn = try stepTarget(incoming, &outcome)
        } catch {
          outcome.targetFailure = error
          incoming.abandon(error)
          targetGoesOn = false
        }
      }
    }
    return outcome
  }

  private func stepSource(
    _ outgoing: OutgoingMigration, _ outcome: inout Outcome
  ) throws(MigrationFailure) -> Bool {
    switch try outgoing.step(for: 1_000_000) {
    case .stopGuest:
      outcome.hasStopped = true
      source.write(bursts.popLast() ?? finalWrites)
      if try outgoing.guestStopped(state: savedState) == .runsOn { outcome.stoppedInVain += 1 }
    case .ready:
      outcome.reachedReady = true
      guard departs else { throw MigrationFailure(.migrationCancelled, "the operator has changed his mind") }
      outcome.end = try outgoing.finishSending()
      try outgoing.send(receipt)
    case .planned(let report):
      outcome.plan = report
      try outgoing.abandon(nil)
      return false
    case .roundEnded(_, let sent, _, _): outcome.rounds.append(sent)
    case .running(let first):
      outcome.first = first
      return false
    case nil: if !outgoing.isConnected { throw MigrationFailure(.linkLost, "no link") }
    case .connected, .checked, .copying, .report, .sent: break
    }
    return true
  }

  private func stepTarget(
    _ incoming: IncomingMigration, _ outcome: inout Outcome
  ) throws(MigrationFailure) -> Bool {
    switch try incoming.step(for: 1_000_000) {
    case .offered(_, let offer): try answer(incoming, offer)
    case .complete(let state):
      outcome.state = state
      try incoming.ready(restoreNanoseconds: 1)
    case .receipt(let receipt):
      outcome.receipt = receipt
      try incoming.running(epoch: 5, realTime: 77)
      return false
    case .cancelled(let refusal, let text):
      outcome.cancelled = (refusal, text)
      incoming.abandon(nil)
      if erases { incoming.erase() }
      return false
    case nil: if !incoming.isConnected { throw MigrationFailure(.linkLost, "no link") }
    case .waiting, .connected, .receiving: break
    }
    return true
  }
}

/// Passes bytes on, the source's frame by frame.
final class Wire {
  private var source: StreamSocket?
  private var target: StreamSocket?
  private let relay: Rehearsal.Relay
  private var incoming: [UInt8] = []
  private var toTarget: [UInt8] = []
  private var toSource: [UInt8] = []
  private var number = 0
  private var isCut = false
  private var sourceHasEnded = false
  private var targetHasEnded = false

  init(
    _ source: consuming StreamSocket, _ target: consuming StreamSocket, _ relay: @escaping Rehearsal.Relay
  ) {
    self.source = consume source
    self.target = consume target
    self.relay = relay
  }

  func pump(_ frames: inout [UInt16]) {
    guard !isCut else { return }
    if Self.read(source, into: &incoming) { sourceHasEnded = true }
    while let frame = nextFrame() {
      frames.append(UInt16(frame[0]) | UInt16(frame[1]) << 8)
      guard let passed = relay(number, frame) else {
        cut()
        return
      }
      number += 1
      for frame in passed { toTarget += frame }
    }
    if !toTarget.isEmpty, let count = try? target?.send(toTarget[...]) { toTarget.removeFirst(count) }
    if Self.read(target, into: &toSource) { targetHasEnded = true }
    if !toSource.isEmpty, let count = try? source?.send(toSource[...]) { toSource.removeFirst(count) }
    // An end is passed on when everything before it was.
    if sourceHasEnded, toTarget.isEmpty { try? target?.endSending() }
    if targetHasEnded, toSource.isEmpty { try? source?.endSending() }
  }

  /// - Returns: Whether the stream has ended.
  private static func read(_ socket: borrowing StreamSocket?, into bytes: inout [UInt8]) -> Bool {
    do throws(SystemError) {
      while let read = try socket?.receive(maximum: 1 << 18) ?? nil {
        if read.isEmpty { return true }
        bytes += read
      }
      return false
    } catch {
      return true
    }
  }

  /// As a link that breaks: both ends see the end of the stream.
  private func cut() {
    isCut = true
    source = nil
    target = nil
  }

  private func nextFrame() -> [UInt8]? {
    guard incoming.count >= 8 else { return nil }
    let length = (0..<4).reduce(0) { $0 | Int(incoming[4 + $1]) << (8 * $1) }
    guard incoming.count >= 8 + length else { return nil }
    let frame = Array(incoming[..<(8 + length)])
    incoming.removeFirst(8 + length)
    return frame
  }
}
