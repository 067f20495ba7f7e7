import BatonCore
import BatonWire
import LinuxOS

/// The connection to the registry, renewed when it breaks; each renewal says first where the VMM
/// stands. Used by one thread.
final class RegistryLink {
  enum Side {
    case successor(Successor)
    case source(Source)
    case departing(Departure)
    case arriving(Arrival)
  }

  let identity: VMMIdentity
  var side: Side
  /// What travels with the guest, once this VMM knows it.
  var manifest: Manifest?
  /// Duplicates of what was offered, to be presented again: RAM, state, VM, named.
  var presented: DescriptorList?
  /// Way `move` with custody: a successor's own VM, to be presented again.
  var ownVM: DescriptorList?
  /// The owner has asked to be parked and nothing has come of it yet: asked again on a renewed connection.
  var isParkAsked = false
  /// The migration that was ordered and is not over.
  var migration: MigrationOrder?
  /// The last word of the migration that was over last, said again when its order is repeated.
  var stayed: VMMMessage?
  /// Until when a guest stands still for the registry's word, by `CLOCK_MONOTONIC` in nanoseconds; see
  /// ``Poller/wait(_:timeoutNanoseconds:awakeUntil:)``.
  private var awakeUntil: UInt64 = 0
  private(set) var deadlines = Deadlines()
  /// How long a registry that takes nothing is waited for; a guest may stand still meanwhile, or its vCPUs want service.
  private static let patienceMilliseconds: Int32 = 1_000
  private var hasBeenWelcomed = false
  private(set) var role = Welcome.Role.successor
  private var socket: SeqpacketSocket?
  private var assembler = MessageAssembler()
  private var sequence: UInt32 = 0
  private var version = ProtocolVersion.spoken.newest
  private var buffer = [UInt8](
    repeating: 0, count: RecordHeader.byteCount + RecordHeader.maximumPayload)
  private var descriptors = DescriptorList()

  init(_ identity: VMMIdentity, _ side: Side) {
    self.identity = identity
    self.side = side
  }

  /// The socket to poll for reading, or -1 while there is no connection.
  var descriptor: Int32 { socket?.descriptor.number ?? -1 }
  var isConnected: Bool { socket != nil }

  private var standing: Standing? {
    switch side {
    case .successor(let successor): successor.standing
    case .source(let source): source.standing
    case .departing(let departure): departure.standing
    case .arriving(let arrival): arrival.standing
    }
  }

  /// Whether the guest, or its context, is in this process, which then outlives a refusal that only
  /// concerns the connection.
  var hasGuest: Bool {
    switch side {
    case .source, .departing, .arriving: true
    case .successor(let successor):
      switch successor.state {
      case .claiming, .received: true
      case .attached, .prepared, .refused, .running, .released: false
      }
    }
  }

  /// A guest from another host; as long as the registry has not let it in, it is no loss.
  private var isArriving: Bool {
    if case .arriving = side { return true }
    return false
  }

  /// A guest stands still, and every process on its way is waited for.
  func stayAwake() { awakeUntil = Poller.awakeForPause() }

  func disconnect() {
    socket = nil
    assembler = MessageAssembler()
    sequence = 0
    descriptors = DescriptorList()
  }

  // MARK: Connecting

  /// Connects and says where the VMM stands, once.
  ///
  /// - Returns: false when nobody listens or the connection broke at once; try again later.
  /// - Throws: ``BatonError/refused(_:_:)`` when the registry said no.
  func connect(timeoutNanoseconds: UInt64) throws(BatonError) -> Bool {
    guard let standing else { return false }
    disconnect()
    let connected: SeqpacketSocket
    do {
      connected = try SeqpacketSocket.connect(
        path: identity.registry, patienceMilliseconds: Self.patienceMilliseconds)
    } catch {
      return false
    }
    socket = consume connected
    var carries: [Int32] = []
    var contextVMs = 0
    switch standing {
    case .staged, .refused(_, returned: .some):
      carries = presented?.borrowedNumbers ?? []
      contextVMs = max(0, carries.count - (manifest?.descriptorCount ?? 0))
    case .attached(prepared: 1...), .claiming, .received:
      carries = ownVM?.borrowedNumbers ?? []
      contextVMs = carries.count
    case .fresh, .attached, .refused, .tookBack, .running, .arriving, .departing: break
    }
    let hello = Hello(
      guest: identity.guest, standing: standing, build: identity.build, reads: identity.reads,
      manifest: manifest)
    do throws(BatonError) {
      guard try send(.hello(hello), descriptors: carries, contextVMs: contextVMs) else { return false }
    } catch {
      // Too many descriptors in flight, or no memory: a guest that is here waits until it passes.
      if hasGuest { return false }
      throw error
    }
    let deadline = MonotonicClock.now() + timeoutNanoseconds
    while let answer = try receive(until: deadline) {
      switch answer {
      case .welcome(let welcome):
        version = welcome.version
        assembler.version = welcome.version
        deadlines = welcome.deadlines
        role = welcome.role
        hasBeenWelcomed = true
        repeatUnanswered()
        return true
      case .refusal(let refusal, let text):
        disconnect()
        // A quota, for example: the guest runs on, or waits, and this process comes again.
        if hasGuest, hasBeenWelcomed || !isArriving, !refusal.endsOwnership { return false }
        throw .refused(refusal, text)
      case .release(let refusal):
        disconnect()
        throw .refused(refusal ?? .notOwner, "this process is to give up the guest")
      case .prepare, .offered, .freeze, .claim, .takeBack, .run, .preflight, .migrate, .depart,
        .cancelMigration, .arrivalJournalled:
        continue
      }
    }
    disconnect()
    return false
  }

  /// Connects, trying again every 20 ms, until `milliseconds` have passed.
  func connectPatiently(milliseconds: UInt64) throws(BatonError) {
    let deadline = MonotonicClock.now() + milliseconds * 1_000_000
    while true {
      let now = MonotonicClock.now()
      if try connect(timeoutNanoseconds: now < deadline ? deadline - now : 1_000_000) { return }
      guard MonotonicClock.now() < deadline else {
        throw .registryUnreachable(path: identity.registry, milliseconds: milliseconds)
      }
      _ = try? Poller.waitReadable(-1, timeoutNanoseconds: 20_000_000)
    }
  }

  // MARK: Records

  /// Sends a message; false when the connection is broken (it is closed then).
  ///
  /// - Parameter contextVMs: How many of the descriptors, the last ones, are VMs beyond the message's own.
  @discardableResult
  func send(
    _ message: VMMMessage, descriptors: [Int32] = [], contextVMs: Int = 0
  ) throws(BatonError) -> Bool {
    guard socket != nil else { return false }
    sequence &+= 1
    let records = message.encoded(contextVMs: contextVMs).records(version: version, sequence: sequence)
    for record in records {
      do {
        try socket?.send(
          record.bytes, descriptors: Array(descriptors[record.descriptors]), wait: true)
      } catch {
        disconnect()
        // A registry that takes nothing for so long counts as gone.
        if error.isDisconnection || error.wouldBlock { return false }
        throw .system(error, doing: "sending a record to the registry")
      }
    }
    return true
  }

  /// Sends what the side says already, so that the next connection's hello tells it, or what is asked for again: if it cannot
  /// be sent, the connection is closed, and the caller has nothing to undo.
  func tell(_ message: VMMMessage, descriptors: [Int32] = []) {
    _ = try? send(message, descriptors: descriptors)
  }

  /// The next message, or nil when the time is over or the connection broke (it is closed then).
  func receive(until deadline: UInt64?) throws(BatonError) -> RegistryMessage? {
    while socket != nil {
      let received: RegistryMessage?
      do {
        received = try receiveOnce()
      } catch let failure {
        disconnect()
        // A guest that is here does not end for a record that cannot be read: the connection is renewed.
        if hasGuest { return nil }
        throw failure
      }
      if let received { return received }
      guard socket != nil else { return nil }
      let now = MonotonicClock.now()
      if let deadline, deadline <= now { return nil }
      let ready: Bool
      do {
        ready = try Poller.waitReadable(
          descriptor, timeoutNanoseconds: deadline.map { $0 - now }, awakeUntil: awakeUntil)
      } catch {
        throw .system(error, doing: "waiting for the registry")
      }
      if !ready { return nil }
    }
    return nil
  }

  /// One record without waiting; nil when none is there, the message goes on, or the peer is gone.
  private func receiveOnce() throws(BatonError) -> RegistryMessage? {
    let record: ReceivedRecord?
    do throws(ReceiveFailure) {
      record = try socket?.receive(into: &buffer, wait: false)
    } catch {
      switch error {
      case .system(let cause):
        if cause.wouldBlock { return nil }
        throw .system(cause, doing: "receiving a record from the registry")
      case .recordTruncated: throw .malformed(.payloadTooLong(buffer.count))
      case .descriptorsTruncated: throw .malformed(.wrongDescriptorCount(announced: 0, received: 0))
      }
    }
    guard let record else {
      disconnect()
      return nil
    }
    let bytes = Array(buffer[0..<record.byteCount])
    let brought = record.takeDescriptors()
    let count = brought.count
    descriptors.append(contentsOf: brought)
    do throws(WireError) {
      guard let message = try assembler.take(bytes, descriptorCount: count) else { return nil }
      return try RegistryMessage(decoding: message)
    } catch {
      throw .malformed(error)
    }
  }

  /// The descriptors of the message received last.
  func takeDescriptors() -> DescriptorList {
    var taken = DescriptorList()
    swap(&taken, &descriptors)
    return taken
  }
}
