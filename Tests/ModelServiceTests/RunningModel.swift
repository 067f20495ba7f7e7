import Glibc
import LinuxOS
import ModelService
import SEVABI
import SEVDevice
import SEVModel

/// A model that serves a socket of its own from a thread of this process, until it is let go.
final class RunningModel {
  let path: String
  private let stop: StopSwitch
  private let thread: OSThread

  private final class StopSwitch: Sendable {
    let event: EventDescriptor
    init() throws { event = try EventDescriptor() }
  }

  /// What the thread takes over, once.
  private final class Start: @unchecked Sendable {
    let server: ModelServer
    init(_ server: ModelServer) { self.server = server }
  }

  init(
    _ configuration: ModelConfiguration = ModelConfiguration(), maximumDescriptors: Int = 100,
    mindsMemoryLockLimit: Bool = true
  ) throws {
    path = "/tmp/sev-model-test-\(getpid())-\(UInt32.random(in: .min ... .max)).socket"
    let listener = try LocalListener.bind(path: path, kind: .seqpacket)
    let server = try ModelServer(
      listener: listener, host: ModelHost(configuration: configuration),
      options: ModelServerOptions(
        maximumConnections: 20, maximumDescriptors: maximumDescriptors,
        mindsMemoryLockLimit: mindsMemoryLockLimit))
    let start = Start(server)
    let stop = try StopSwitch()
    self.stop = stop
    thread = try OSThread(name: "model") {
      do {
        try start.server.run(until: stop.event.descriptor)
      } catch {
        fatalError("the model's loop failed: \(error)")
      }
    }
  }

  deinit {
    stop.event.signal()
    thread.join()
    _ = try? Files.remove(path)
  }

  func openSession() throws -> SEVSession {
    try SEVDevice.model(socketPath: path).openSession()
  }
}

/// The same numbers in every run.
struct SeededGenerator: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    // SplitMix64.
    state &+= 0x9E37_79B9_7F4A_7C15
    var mixed = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
    mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
    return mixed ^ (mixed >> 31)
  }
}

/// A descriptor that may be in an array.
final class Held: Sendable {
  let descriptor: OwnedDescriptor
  init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
}

/// A VM and its vCPUs, which live as long as this.
final class MachineWithVCPUs: Sendable {
  let machine: OwnedDescriptor
  let vcpus: [Held]

  init(_ session: inout SEVSession, adopting machine: consuming OwnedDescriptor, count: UInt32) throws {
    var vcpus: [Held] = []
    for number in 0..<count { vcpus.append(Held(try session.makeVCPU(number, on: machine))) }
    self.machine = machine
    self.vcpus = vcpus
  }

  convenience init(_ session: inout SEVSession, count: UInt32) throws {
    try self.init(&session, adopting: try session.makeMachine(), count: count)
  }
}

extension SEVSession {
  /// A VM with vCPUs that was launched to its end.
  mutating func makeLaunched(
    _ firmware: borrowing OwnedDescriptor, encryptedState: Bool, vcpus: UInt32
  ) throws -> MachineWithVCPUs {
    let machine = try makeMachine()
    try initialize(machine, encryptedState: encryptedState)
    let whole = try MachineWithVCPUs(&self, adopting: machine, count: vcpus)
    _ = try launchStart(whole.machine, policy: encryptedState ? .encryptedState : [], firmware: firmware)
    if encryptedState { try launchUpdateVMSA(whole.machine) }
    _ = try launchMeasure(whole.machine)
    try launchFinish(whole.machine)
    return whole
  }

  /// A VM that was launched to its end.
  mutating func makeLaunched(_ firmware: borrowing OwnedDescriptor) throws -> OwnedDescriptor {
    let machine = try makeMachine()
    try initialize(machine)
    _ = try launchStart(machine, policy: [], firmware: firmware)
    _ = try launchMeasure(machine)
    try launchFinish(machine)
    return machine
  }

  /// ASK and ARK, as SEND_START wants them.
  mutating func amdCertificates() throws -> [UInt8] {
    Array(try platformCertificates().dropFirst(4 * PlatformBlob.certificateByteCount))
  }

  mutating func makeGuest() throws -> OwnedDescriptor {
    let machine = try makeMachine()
    try initialize(machine)
    return machine
  }
}

/// Whole pages of this process with a protection of their own.
final class Pages {
  let address: UInt64
  let byteCount: Int

  init(_ count: Int) {
    byteCount = count * 4096
    let mapped = unsafe mmap(nil, byteCount, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    address = UInt64(UInt(bitPattern: mapped))
  }

  deinit { unsafe munmap(UnsafeMutableRawPointer(bitPattern: UInt(address)), byteCount) }

  func protect(_ protection: Int32, page: Int = 0) {
    let start = unsafe UnsafeMutableRawPointer(bitPattern: UInt(address) + UInt(page) * 4096)
    precondition(unsafe mprotect(start, 4096, protection) == 0)
  }

  func unmap(page: Int) {
    unsafe munmap(UnsafeMutableRawPointer(bitPattern: UInt(address) + UInt(page) * 4096), 4096)
  }

  func store(_ bytes: [UInt8], at offset: Int) {
    guard let start = unsafe UnsafeMutablePointer<UInt8>(bitPattern: UInt(address) + UInt(offset)) else {
      return
    }
    for (index, byte) in bytes.enumerated() { unsafe start[index] = byte }
  }

  func load(_ count: Int, at offset: Int) -> [UInt8] {
    guard let start = unsafe UnsafeMutablePointer<UInt8>(bitPattern: UInt(address) + UInt(offset)) else {
      return []
    }
    return (0..<count).map { unsafe start[$0] }
  }
}

/// The error that a call throws, or nil.
func failure(_ body: () throws -> Void) -> SEVError? {
  do {
    try body()
    return nil
  } catch {
    return error as? SEVError
  }
}
