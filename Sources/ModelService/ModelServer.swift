import Glibc
public import LinuxOS
import SEVABI
import SEVDevice
public import SEVModel

/// The software model of KVM-SEV and the AMD Secure Processor as a server: one thread, one loop, no timers.
///
/// It never touches memory of a caller. While a request waits for its caller's answer, requests on other VMs
/// go on; those on the same VM wait, as they do for KVM's lock of the VM.
public final class ModelServer {
  private let listener: LocalListener
  private let queue: EventQueue
  var live: LiveDescriptors
  let options: ModelServerOptions
  var host: ModelHost
  var connections: [UInt64: PeerConnection] = [:]
  /// How fast pages are migrated.
  var pace: PagePace
  private var nextKey: UInt64 = Key.firstConnection
  /// VMs that a request has to itself, and who waits for them.
  var locks = MachineLocks<PeerConnection>()
  /// How many unfinished requests keep a VM alive.
  var using: [VirtualMachineID: Int] = [:]
  /// VMs that hung up while a request on them was unfinished.
  var doomed: Set<VirtualMachineID> = []
  /// Given up for a moment when no other descriptor is left.
  private var spare: OwnedDescriptor?
  private var buffer = [UInt8](repeating: 0, count: ModelWire.maximumByteCount)

  private enum Key {
    static let listener: UInt64 = 0
    static let stop: UInt64 = 1
    static let live: UInt64 = 2
    static let firstConnection: UInt64 = 3
  }

  /// Makes a server of a model on a listening seqpacket socket.
  public init(
    listener: consuming LocalListener, host: ModelHost, options: ModelServerOptions = ModelServerOptions()
  ) throws(SystemError) {
    self.listener = listener
    self.host = host
    self.options = options
    pace = PagePace(pagesPerSecond: options.pagesPerSecond)
    queue = try EventQueue()
    live = try LiveDescriptors()
    try self.listener.descriptor.setNonblocking(true)
    try queue.watch(self.listener.descriptor.number, forData: true, key: Key.listener)
    try queue.watch(live.pollNumber, forData: true, key: Key.live)
    spare = try Files.open("/dev/null", .readOnly)
    ServerSupport.raiseDescriptorLimit()
  }

  /// Serves until `stop` is readable. All guests of the model end with the server.
  ///
  /// - Throws: What the event queue itself fails with. A caller can make none of its own trouble the
  ///   server's.
  public func run(until stop: borrowing OwnedDescriptor) throws(SystemError) {
    try queue.watch(stop.number, forData: true, key: Key.stop)
    while true {
      for event in try queue.events(waits: true) {
        switch event.key {
        case Key.listener: acceptConnections()
        case Key.stop: return
        case Key.live: try closeHungUp()
        default:
          if let connection = connections[event.key] { try receive(on: connection) }
        }
        takeTurns()
      }
    }
  }

  // MARK: Connections

  private func acceptConnections() {
    while true {
      let descriptor: OwnedDescriptor
      do throws(SystemError) {
        descriptor = try listener.accept()
      } catch {
        if error.code == EMFILE || error.code == ENFILE { turnOneAway() }
        return
      }
      guard connections.count < options.maximumConnections else { continue }
      let key = nextKey
      nextKey += 1
      do throws(SystemError) {
        try queue.watch(descriptor.number, forData: true, key: key)
        connections[key] = PeerConnection(key: key, socket: SeqpacketSocket(adopting: descriptor))
      } catch {
        continue
      }
    }
  }

  /// Accepts and closes one connection though no descriptor is left, else the listener would stay readable
  /// and the loop would never sleep.
  private func turnOneAway() {
    spare = nil
    _ = try? listener.accept()
    spare = try? Files.open("/dev/null", .readOnly)
  }

  /// Closes a connection. A request that waited for an answer ends as if the caller's memory were gone.
  func drop(_ connection: PeerConnection) {
    guard connections.removeValue(forKey: connection.key) != nil else { return }
    // A request that cannot be given up keeps the connection for a while.
    queue.forget(connection.socket.descriptor.number)
    switch connection.state {
    case .idle: break
    case .waiting(let request, let turn): abandon(connection, request, turn)
    case .asking(let request, let step):
      connection.state = .idle
      advance(refuse(step), of: request, on: connection)
    }
  }

  func send(_ record: [UInt8], descriptors: [Int32] = [], on connection: PeerConnection) {
    do throws(SystemError) {
      try connection.socket.send(record, descriptors: descriptors, wait: false)
    } catch {
      drop(connection)
    }
  }

  func finish(_ connection: PeerConnection, error: Int32) {
    send(PendingRequest.finished(error: error), on: connection)
  }

  private func receive(on connection: PeerConnection) throws(SystemError) {
    let received: ReceivedRecord
    do throws(ReceiveFailure) {
      guard let record = try connection.socket.receive(into: &buffer, wait: false) else {
        return drop(connection)
      }
      received = record
    } catch {
      if case .system(let failure) = error, failure.wouldBlock { return }
      return drop(connection)
    }
    // Whatever was closed before this request was sent is closed now.
    try closeHungUp()
    var record = Array(buffer[..<received.byteCount])
    handle(record, received.takeDescriptors(), on: connection)
    // It may have held a token.
    ServerSupport.wipe(&record)
    for index in record.indices { buffer[index] = 0 }
  }

  private func handle(
    _ record: [UInt8], _ descriptors: consuming DescriptorList, on connection: PeerConnection
  ) {
    guard let kind = ModelWire.kind(of: record.span) else { return drop(connection) }
    switch (kind, connection.state) {
    case (.answer, .asking(let request, let step)):
      guard let next = answer(step, of: request, record, descriptors) else { return drop(connection) }
      connection.state = .idle
      return advance(next, of: request, on: connection)
    case (.answer, .idle), (.answer, .waiting), (_, .asking), (_, .waiting):
      // An answer to nothing, or a second request before the first one is finished.
      return drop(connection)
    case (_, .idle): break
    }
    switch kind {
    case .makeMachine: make(.machine, record, descriptors, on: connection)
    case .openFirmware: make(.firmware, record, descriptors, on: connection)
    case .makeVCPU: make(.vcpu, record, descriptors, on: connection)
    case .call: call(record, descriptors, on: connection)
    case .memoryEncryptOperation: start(.memoryEncryptOperation, record, descriptors, on: connection)
    case .registerRegion: start(.registerRegion, record, descriptors, on: connection)
    case .unregisterRegion: start(.unregisterRegion, record, descriptors, on: connection)
    case .enableCapability: start(.enableCapability, record, descriptors, on: connection)
    case .getSharedPages: start(.getSharedPages, record, descriptors, on: connection)
    case .setSharedPages: start(.setSharedPages, record, descriptors, on: connection)
    case .firmwareCommand: start(.firmwareCommand, record, descriptors, on: connection)
    case .undeliverable:
      if let undo = connection.undo { host.undo(undo) }
      connection.undo = nil
      finish(connection, error: KernelError.badAddress.rawValue)
    case .answer, .finished, .question, .made, .result:
      // A record of the model's own.
      drop(connection)
    }
  }
}
