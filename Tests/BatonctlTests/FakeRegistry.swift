import LinuxOS
import RegistryInterface
import Synchronization
import Varlink

/// A registry on a real socket that answers as a test says.
final class FakeRegistry: Sendable {
  /// What it does when it is called.
  enum Step: Sendable {
    case reply(any Encodable & Sendable)
    /// A reply after which more come.
    case more(any Encodable & Sendable)
    case error(RegistryError)
    /// Nothing before a call of this method came, on whichever connection.
    case await(RegistryMethod)
    /// Closes the connection, as a registry does that is restarted.
    case hangUp
  }

  let path: String
  private let directory: String
  private let isOver = Atomic<Bool>(false)
  private let log = Mutex<[String]>([])
  private let script: @Sendable (RegistryMethod) -> [Step]

  /// - Parameter script: What to do for each call of a method.
  init(_ script: @escaping @Sendable (RegistryMethod) -> [Step]) throws {
    directory = try Files.makePrivateDirectory(prefix: "/tmp/baton-fake-")
    path = "\(directory)/varlink"
    self.script = script
    let listener = try LocalListener.bind(path: path, kind: .stream)
    try listener.descriptor.setNonblocking(true)
    let server = Server(listener: listener, registry: self)
    _ = try OSThread(name: "fake registry") { server.run() }
  }

  /// The methods that were called, in order.
  var calls: [RegistryMethod] { log.withLock { $0.compactMap { RegistryMethod(rawValue: $0) } } }

  func end() {
    isOver.store(true, ordering: .releasing)
    _ = try? Files.remove(path)
    _ = try? Files.removeDirectory(directory)
  }

  private final class Connection {
    let socket: StreamSocket
    var varlink = ServerConnection(
      service: BatonRegistry.service(vendor: "test", product: "fake", version: "1", url: ""))
    var call: ServerCall?
    var steps: ArraySlice<Step> = []
    var isClosed = false

    init(_ socket: consuming StreamSocket) { self.socket = socket }
  }

  private final class Server: @unchecked Sendable {
    private let listener: LocalListener
    private let registry: FakeRegistry
    private var connections: [Connection] = []

    init(listener: consuming LocalListener, registry: FakeRegistry) {
      self.listener = listener
      self.registry = registry
    }

    func run() {
      while !registry.isOver.load(ordering: .acquiring) {
        var interests =
          [Poller.Interest(listener.descriptor.number)]
          + connections.map { Poller.Interest($0.socket.descriptor.number) }
        _ = try? Poller.wait(&interests, timeoutNanoseconds: 5_000_000)
        while let descriptor = try? listener.accept() {
          try? descriptor.setNonblocking(true)
          connections.append(Connection(StreamSocket(adopting: descriptor)))
        }
        for connection in connections { serve(connection) }
        connections.removeAll(where: \.isClosed)
      }
    }

    private func serve(_ connection: Connection) {
      while let bytes = try? connection.socket.receive() {
        if bytes.isEmpty {
          connection.isClosed = true
          return
        }
        connection.varlink.receive(bytes)
      }
      if connection.call == nil, let call = try? connection.varlink.nextCall() {
        connection.call = call
        registry.log.withLock { $0.append(call.method) }
        connection.steps = RegistryMethod(rawValue: call.method).map { registry.script($0)[...] } ?? []
      }
      advance(connection)
      while !connection.varlink.output.isEmpty {
        guard let count = try? connection.socket.send(connection.varlink.output), count > 0 else { break }
        connection.varlink.didSend(count)
      }
    }

    private func advance(_ connection: Connection) {
      guard let call = connection.call else { return }
      while let step = connection.steps.first {
        switch step {
        case .more(let value): connection.varlink.reply(to: call.number, Sent(value), continues: true)
        case .reply(let value):
          connection.varlink.reply(to: call.number, Sent(value))
          connection.call = nil
        case .error(let error):
          connection.varlink.reply(to: call.number, error: error)
          connection.call = nil
        case .await(let method):
          guard registry.log.withLock({ $0.contains(method.rawValue) }) else { return }
        case .hangUp:
          connection.isClosed = true
          connection.call = nil
        }
        connection.steps.removeFirst()
      }
    }
  }

  /// A value whose type is not known before.
  private struct Sent: Encodable, Sendable {
    let value: any Encodable & Sendable
    init(_ value: any Encodable & Sendable) { self.value = value }
    func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }
  }
}
