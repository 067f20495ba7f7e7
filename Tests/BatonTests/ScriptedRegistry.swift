import Baton
import BatonWire
import Harness
import LinuxOS
import Synchronization

/// A registry that makes whoever comes the guest's first owner, sends one record more and reads nothing from then on. It
/// closes its connections after a while, so that nobody waits for it for ever.
final class ScriptedRegistry: Sendable {
  private let directory: String
  private let isOver = Atomic<Bool>(false)
  private static let lifeNanoseconds: UInt64 = 20_000_000_000
  private let said = Mutex<[Standing]>([])

  /// - Parameter record: What follows the verdict; nothing when it is empty.
  init(afterVerdict record: [UInt8] = []) throws {
    directory = try Files.makePrivateDirectory(prefix: "/tmp/baton-scripted-")
    let listener = try LocalListener.bind(path: "\(directory)/handoff", kind: .seqpacket)
    try listener.descriptor.setNonblocking(true)
    let server = Server(listener: listener, registry: self, record: record)
    _ = try OSThread(name: "scripted registry") { server.run() }
  }

  /// Where a VMM stood each time it came.
  var standings: [Standing] { said.withLock { $0 } }

  /// Whether it has closed its connections.
  var hasEnded: Bool { isOver.load(ordering: .acquiring) }

  func end() {
    isOver.store(true, ordering: .releasing)
    _ = try? Files.remove("\(directory)/handoff")
    _ = try? Files.removeDirectory(directory)
  }

  /// An owner by its verdict.
  func owner() throws -> RunningGuest {
    let applicant = try Applicant(
      VMMIdentity(
        registry: "\(directory)/handoff", guest: "vm1", build: "test",
        reads: ReadableFormats(name: "test", oldest: 1, newest: 1, features: 0)),
      isFresh: true)
    switch try applicant.awaitAdmission(milliseconds: 20_000) {
    case .firstOwner(let permit): return permit.run(manifest: TestArrivals.manifest) { 0 }
    case .offered: throw HarnessFailure("the scripted registry offers nothing")
    case .released: throw HarnessFailure("the scripted registry releases nobody")
    }
  }

  private final class Server: @unchecked Sendable {
    private let listener: LocalListener
    private let registry: ScriptedRegistry
    private let record: [UInt8]
    private var connections = DescriptorList()

    init(listener: consuming LocalListener, registry: ScriptedRegistry, record: [UInt8]) {
      self.listener = listener
      self.registry = registry
      self.record = record
    }

    func run() {
      let end = MonotonicClock.now() + ScriptedRegistry.lifeNanoseconds
      while !registry.hasEnded, MonotonicClock.now() < end {
        _ = try? Poller.waitReadable(listener.descriptor.number, timeoutNanoseconds: 5_000_000)
        while let descriptor = try? listener.accept() { try? admit(SeqpacketSocket(adopting: descriptor)) }
      }
      registry.isOver.store(true, ordering: .releasing)
      connections = DescriptorList()
    }

    private func admit(_ socket: consuming SeqpacketSocket) throws {
      var buffer = [UInt8](repeating: 0, count: RecordHeader.byteCount + RecordHeader.maximumPayload)
      var assembler = MessageAssembler()
      guard let received = try socket.receive(into: &buffer),
        let message = try assembler.take(Array(buffer[..<received.byteCount]), descriptorCount: 0),
        case .hello(let hello) = try VMMMessage(decoding: message)
      else { return }
      let version = hello.versions.newest
      var answers: [RegistryMessage] = [
        .welcome(Welcome(version: version, role: .owner, deadlines: Deadlines()))
      ]
      let isFirst = hello.standing == .fresh
      if isFirst { answers.append(.run(epoch: 1)) }
      for (index, answer) in answers.enumerated() {
        for record in answer.encoded().records(version: version, sequence: UInt32(index + 1)) {
          try socket.send(record.bytes)
        }
      }
      if isFirst, !record.isEmpty { try socket.send(record) }
      registry.said.withLock { $0.append(hello.standing) }
      connections.append(try socket.descriptor.duplicate())
    }
  }
}
