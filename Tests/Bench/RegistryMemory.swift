import BatonWire
import LinuxOS

/// The registry's resident memory with many registered guests.
///
/// Each guest has a connection of its own and says what a VMM says; all of them are in this process, because
/// the registry does not care who holds a connection.
struct RegistryMemory {
  let workspace: Workspace

  func measure(guests count: Int) throws -> Results.Memory {
    try ThisProcess.raiseDescriptorLimit()
    let registry = try workspace.startRegistry()
    let empty = try registry.residentByteCount()
    Progress.say("registering \(count) guests")
    var guests: [RegisteredGuest] = []
    for number in 1...count {
      guests.append(try RegisteredGuest("light-\(number)", registry: workspace.handoffSocket))
    }
    let full = try registry.residentByteCount()
    withExtendedLifetime(guests) {}
    registry.kill()
    return Results.Memory(guests: count, emptyByteCount: empty, residentByteCount: full)
  }
}

/// A guest as the registry sees one: a connection whose first record was accepted and that runs it.
private final class RegisteredGuest {
  private let socket: SeqpacketSocket
  private var assembler = MessageAssembler()

  init(_ name: String, registry: String) throws {
    socket = try SeqpacketSocket.connect(path: registry)
    let hello = Hello(
      guest: name, standing: .fresh, build: "baton-bench",
      reads: ReadableFormats(name: "baton-vmm", oldest: 1, newest: 2, features: 0))
    try send(.hello(hello), sequence: 1)
    while true {
      switch try receive() {
      case .run(let epoch):
        try send(.running(epoch: epoch, firstInstruction: MonotonicClock.now()), sequence: 2)
        return
      case .refusal(let refusal, let text):
        throw BenchError("guest \(name) was refused (\(refusal)): \(text)")
      case .welcome, .prepare, .offered, .freeze, .claim, .takeBack, .release, .preflight: continue
      }
    }
  }

  private func send(_ message: VMMMessage, sequence: UInt32) throws {
    let version = ProtocolVersion.spoken.newest
    for record in message.encoded().records(version: version, sequence: sequence) {
      try socket.send(record.bytes)
    }
  }

  private func receive() throws -> RegistryMessage {
    var buffer = [UInt8](repeating: 0, count: RecordHeader.byteCount + RecordHeader.maximumPayload)
    while true {
      guard let record = try socket.receive(into: &buffer) else {
        throw BenchError("the registry closed the connection of a guest")
      }
      let bytes = Array(buffer[0..<record.byteCount])
      let descriptors = record.takeDescriptors()
      if let message = try assembler.take(bytes, descriptorCount: descriptors.count) {
        return try RegistryMessage(decoding: message)
      }
    }
  }
}
