import BatonWire
import Glibc
import LinuxOS
import Synchronization

private let socketPath = "/tmp/baton-fuzz-\(getpid()).sock"

/// A registry that says what the input says: it welcomes everybody, and then sends records without rhyme or reason.
final class RegistryEnd: Sendable {
  let path = socketPath
  private let connections = Mutex<[Connection]>([])
  /// The RAM that it offers.
  let ram: OwnedDescriptor
  let manifest: Manifest
  private let stage: Stage
  private let state: OwnedDescriptor

  static let pageCount: UInt64 = 16

  private final class Connection: Sendable {
    private let socket: SeqpacketSocket
    /// Of the last message said here: a library that misses one closes the connection.
    private let sequence = Atomic<UInt32>(0)

    init(_ accepted: consuming OwnedDescriptor) { socket = SeqpacketSocket(adopting: accepted) }

    func say(_ message: RegistryMessage, _ numbers: [Int32]) {
      let next = sequence.add(1, ordering: .relaxed).newValue
      for record in message.encoded().records(version: ProtocolVersion.spoken.newest, sequence: next) {
        try? socket.send(record.bytes, descriptors: numbers, wait: false)
      }
    }

    func say(bytes: [UInt8]) { try? socket.send(bytes, wait: false) }
  }

  private final class Listening: Sendable {
    let listener: LocalListener
    init(_ path: String) throws { listener = try LocalListener.bind(path: path, kind: .seqpacket) }
  }

  init() throws {
    let listening = try Listening(path)
    // A crash leaves the socket behind; the end of a run does not.
    atexit { unsafe unlink(socketPath) }
    let format = StateFormat(name: "fuzz", version: 1, features: 0)
    ram = try Memfd.create(name: "fuzz", byteCount: Self.pageCount * 4096)
    try ram.addSeals(.ram)
    let identity = try ram.identity()
    manifest = Manifest(
      way: .none, vcpuCount: 1,
      files: [RAMFile(device: identity.device, inode: identity.inode, byteCount: identity.byteCount)],
      regions: [
        RAMRegion(guestPhysicalAddress: 0, byteCount: Self.pageCount * 4096, file: 0, fileOffset: 0)
      ],
      hasVM: false, names: ["a"], format: format, details: [1, 2, 3])
    let envelope = StateEnvelope.encode(way: .none, handoff: 1, state: [1, 2, 3])
    state = try Memfd.create(name: "fuzz", byteCount: 0)
    try state.write(envelope, at: 0)
    try state.addSeals(.state)
    stage = Stage(
      envelopeByteCount: UInt64(envelope.count), format: format, lastInstruction: 1, freezeStarted: 1,
      contextSent: 1)
    let welcome = RegistryMessage.welcome(
      Welcome(version: ProtocolVersion.spoken.newest, role: .successor, deadlines: Deadlines()))
    _ = try OSThread(name: "registry") { [self] in
      while true {
        // Without room for a descriptor it is tried again.
        guard let accepted = try? listening.listener.accept() else { continue }
        let connection = Connection(accepted)
        // First here, then welcome: whoever has read it may be told more at once.
        connections.withLock { $0.append(connection) }
        connection.say(welcome, [])
      }
    }
  }

  /// The clients of the last input are gone.
  func forget() { connections.withLock { $0.removeAll() } }

  func closeLast() { connections.withLock { _ = $0.popLast() } }

  func say(_ message: RegistryMessage, withDescriptors: Bool) {
    var numbers: [Int32] = []
    switch message {
    case .offered: numbers = [ram.number, state.number, ram.number]
    case .claim: numbers = [state.number]
    case .welcome, .prepare, .freeze, .takeBack, .run, .release, .refusal, .preflight, .migrate, .depart,
      .cancelMigration, .arrivalJournalled:
      break
    }
    connections.withLock { $0.last }?.say(message, withDescriptors ? numbers : [])
  }

  func say(bytes: [UInt8]) {
    guard !bytes.isEmpty else { return }
    connections.withLock { $0.last }?.say(bytes: bytes)
  }

  var claim: RegistryMessage { .claim(handoff: 1, stage) }
}
