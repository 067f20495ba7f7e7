public import BatonWire
public import LinuxOS

/// Somebody who talks to the registry's handoff socket record by record, well-behaved or not.
///
/// The registry takes the whole process for a VMM: one that is told to go and stays is killed. So a test
/// in which that may happen gives the registry a long release deadline.
public final class RecordPeer {
  private let socket: SeqpacketSocket
  private var assembler = MessageAssembler()
  private var sequence: UInt32 = 0
  private var buffer = [UInt8](repeating: 0, count: RecordHeader.byteCount + RecordHeader.maximumPayload)
  /// Descriptors that came along, in their order.
  public private(set) var descriptors = DescriptorList()

  public init(path: String) throws { socket = try SeqpacketSocket.connect(path: path) }

  /// What a successor that reads everything says first.
  public static func hello(
    _ guest: String, _ standing: Standing = .attached(prepared: 0), manifest: Manifest? = nil
  ) -> Hello {
    // It sends every record in version 1.
    Hello(
      versions: ProtocolVersion(oldest: 1, newest: 1), guest: guest, standing: standing, build: "record peer",
      reads: ReadableFormats(name: "baton-vmm", oldest: 1, newest: 9, features: .max), manifest: manifest)
  }

  /// Sends a message as it should be.
  public func send(_ message: VMMMessage, descriptors: [Int32] = []) throws {
    sequence += 1
    for record in message.encoded().records(version: 1, sequence: sequence) {
      try socket.send(record.bytes, descriptors: Array(descriptors[record.descriptors]))
    }
  }

  /// Sends any bytes as one record.
  public func send(raw bytes: [UInt8], descriptors: [Int32] = []) throws {
    try socket.send(bytes, descriptors: descriptors)
  }

  /// The number that the next message of ``send(_:descriptors:)`` carries.
  public var nextSequence: UInt32 { sequence + 1 }

  /// How a wait for the registry ended.
  public enum Answer: Hashable, Sendable {
    case message(RegistryMessage)
    /// The registry closed the connection.
    case closed
    /// Nothing came in time.
    case silence
  }

  /// The next message.
  public func next(seconds: Double = 10) throws -> Answer {
    let deadline = MonotonicClock.now() + UInt64(seconds * 1e9)
    while true {
      let now = MonotonicClock.now()
      guard now < deadline,
        try Poller.waitReadable(socket.descriptor.number, timeoutNanoseconds: deadline - now)
      else { return .silence }
      guard let record = try socket.receive(into: &buffer, wait: false) else { return .closed }
      let bytes = Array(buffer[..<record.byteCount])
      let brought = record.takeDescriptors()
      let count = brought.count
      descriptors.append(contentsOf: brought)
      if let message = try assembler.take(bytes, descriptorCount: count) {
        return .message(try RegistryMessage(decoding: message))
      }
    }
  }

  /// Waits for the message that says no: a refusal, or a release with a reason.
  public func refusal(seconds: Double = 10) throws -> (refusal: Refusal, sentence: String) {
    while true {
      switch try next(seconds: seconds) {
      case .message(.refusal(let refusal, let sentence)): return (refusal, sentence)
      case .message(.release(let refusal?)): return (refusal, refusal.sentence)
      case .message: continue
      case .closed: throw HarnessFailure("the registry closed the connection without a refusal")
      case .silence: throw HarnessFailure("the registry did not refuse within \(seconds) s")
      }
    }
  }

  /// Says that this process has the baton of a handoff.
  ///
  /// - Returns: The name and the sentence of the refusal.
  public static func claim(
    registry: String, guest: String, handoff: UInt64
  ) throws -> (name: String, sentence: String) {
    let peer = try RecordPeer(path: registry)
    try peer.send(.hello(hello(guest, .claiming(handoff))))
    let (refusal, sentence) = try peer.refusal()
    return (refusal.name, sentence)
  }
}
