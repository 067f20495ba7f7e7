import BatonWire
import LinuxOS
import Testing

/// A VMM that says exactly what a test wants it to say.
final class ScriptedVMM {
  private let socket: SeqpacketSocket
  private var sequence: UInt32 = 0
  private var assembler = MessageAssembler()
  private var buffer = [UInt8](repeating: 0, count: 70_000)

  /// Connects, waiting for a registry that is still starting.
  init(_ registry: RunningRegistry) throws {
    let path = registry.handoffSocket
    try registry.waitUntilItListens(path)
    socket = try SeqpacketSocket.connect(path: path)
  }

  static let format = StateFormat(name: "test", version: 1, features: 0)
  static let reads = ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0)

  static func hello(
    _ guest: String, _ standing: Standing = .fresh, manifest: Manifest? = nil,
    versions: ProtocolVersion = ProtocolVersion(oldest: 1, newest: 1)
  ) -> VMMMessage {
    .hello(
      Hello(
        versions: versions, guest: guest, standing: standing, build: "test", reads: reads,
        manifest: manifest))
  }

  func send(_ message: VMMMessage, _ descriptors: [Int32] = [], version: UInt16 = 1) throws {
    sequence += 1
    for record in message.encoded().records(version: version, sequence: sequence) {
      try socket.send(record.bytes, descriptors: Array(descriptors[record.descriptors]))
    }
  }

  func send(raw bytes: [UInt8], _ descriptors: [Int32] = []) throws {
    try socket.send(bytes, descriptors: descriptors)
  }

  /// The next message, or nil when the registry ended the connection.
  func receive() throws -> RegistryMessage? {
    while true {
      guard try Poller.waitReadable(socket.descriptor.number, timeoutNanoseconds: 20_000_000_000) else {
        Issue.record("the registry said nothing for 20 s")
        return nil
      }
      guard let record = try socket.receive(into: &buffer) else { return nil }
      let bytes = Array(buffer[..<record.byteCount])
      let count = record.descriptors.count
      if let message = try assembler.take(bytes, descriptorCount: count) {
        return try RegistryMessage(decoding: message)
      }
    }
  }

  /// The refusal that comes next; the connection ends behind it.
  func receiveRefusal() throws -> Refusal? {
    guard case .refusal(let refusal, _) = try receive() else { return nil }
    return refusal
  }

  /// Becomes the owner of a guest that nobody has, and runs it.
  func own(_ guest: String, manifest: Manifest? = nil) throws {
    try send(Self.hello(guest, manifest: manifest))
    guard case .welcome(let welcome) = try receive() else { throw TestFailure("no welcome") }
    #expect(welcome.role == .owner)
    #expect(try receive() == .run(epoch: 1))
    try send(.running(epoch: 1, firstInstruction: MonotonicClock.now()))
  }
}

struct TestFailure: Error {
  let text: String
  init(_ text: String) { self.text = text }
}

/// A memfd of guest RAM and a manifest that fits it.
struct TestRAM: ~Copyable {
  let memfd: OwnedDescriptor
  let manifest: Manifest

  init(byteCount: UInt64 = 65_536, seals: Seals = .ram) throws {
    let memfd = try Memfd.create(name: "ram", byteCount: byteCount)
    if !seals.isEmpty { try memfd.addSeals(seals) }
    let identity = try memfd.identity()
    manifest = Manifest(
      way: .none, vcpuCount: 1,
      files: [RAMFile(device: identity.device, inode: identity.inode, byteCount: byteCount)],
      regions: [RAMRegion(guestPhysicalAddress: 0, byteCount: byteCount, file: 0, fileOffset: 0)],
      hasVM: false,
      names: [], format: ScriptedVMM.format)
    self.memfd = memfd
  }
}
