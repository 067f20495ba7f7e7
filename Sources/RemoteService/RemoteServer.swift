public import LinuxOS
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// The sidecar: TLS to other hosts, a local socket for VMMs and operators, and its own registry.
///
/// VMMs' streams are carried on event loops, one of them for both ends of a pipe; the local socket's first lines are
/// read by one thread; questions to the registry wait on threads of a pool.
public final class RemoteServer: Sendable {
  let configuration: RemoteConfiguration
  let tell: @Sendable (RemoteEvent) -> Void
  private let group: MultiThreadedEventLoopGroup
  let questions: NIOThreadPool
  /// For those of peers: an operator's may wait for one of them.
  let peerQuestions: NIOThreadPool
  let registry: any RegistryQuestions
  private let certificates: CertificateStore
  let desk: FrontDesk
  let connector: PeerConnector
  let pipes = Atomic<Int>(0)
  let state = Mutex(State())

  struct State {
    var listeners: [any Channel] = []
    /// Connections that are being made, by the number of who asked: one for each address that is tried.
    var attempts: [UInt64: [any Channel]] = [:]
    var isStopped = false
  }

  /// Why the sidecar cannot start.
  public struct StartFailure: Error, CustomStringConvertible {
    /// What was attempted, and why it failed.
    public let description: String
  }

  /// Reads the certificates and takes over or makes the sockets. ``start()`` begins to serve.
  ///
  /// - Parameters:
  ///   - passed: Sockets of socket units: `local` (stream, local) and any number of `tls` (TCP).
  ///   - tell: Called from any thread with what happens; must not wait.
  public convenience init(
    configuration: RemoteConfiguration, passed: inout PassedDescriptors,
    tell: @escaping @Sendable (RemoteEvent) -> Void
  ) throws(StartFailure) {
    try self.init(
      configuration: configuration, passed: &passed,
      registry: RegistryClient(path: configuration.registrySocket, limit: configuration.limits.registry),
      tell: tell)
  }

  init(
    configuration: RemoteConfiguration, passed: inout PassedDescriptors, registry: any RegistryQuestions,
    tell: @escaping @Sendable (RemoteEvent) -> Void
  ) throws(StartFailure) {
    self.configuration = configuration
    self.tell = tell
    self.registry = registry
    do throws(RemoteFault) {
      certificates = try CertificateStore(configuration.certificates)
    } catch {
      throw StartFailure(description: "\(error)")
    }
    do throws(SystemError) {
      desk = try FrontDesk(
        listener: try Self.localListener(configuration, &passed),
        rights: LocalRights(users: configuration.users, adminGroup: configuration.adminGroup),
        limits: configuration.limits, tell: tell)
    } catch {
      throw StartFailure(description: "the local socket cannot be used: \(error)")
    }
    group = MultiThreadedEventLoopGroup(numberOfThreads: configuration.threads)
    questions = NIOThreadPool(numberOfThreads: 4)
    questions.start()
    peerQuestions = NIOThreadPool(numberOfThreads: 4)
    peerQuestions.start()
    connector = PeerConnector(group: group, certificates: certificates, limits: configuration.limits)
    try listen(&passed)
  }

  private static func localListener(
    _ configuration: RemoteConfiguration, _ passed: inout PassedDescriptors
  ) throws(SystemError) -> LocalListener {
    if let descriptor = passed.take(named: "local") {
      return try LocalListener.passed(descriptor, kind: .stream, name: "local")
    }
    let path = configuration.localSocket
    let listener = try LocalListener.bind(
      path: path, kind: .stream, mode: configuration.group == nil ? 0o600 : 0o660)
    if let group = configuration.group { try Files.changeGroup(of: path, to: group) }
    return listener
  }

  private func listen(_ passed: inout PassedDescriptors) throws(StartFailure) {
    let listener = PeerListener(
      group: group, certificates: certificates, allowed: configuration.allowedPeers,
      limits: configuration.limits, tell: tell
    ) { [weak self] link in self?.serve(link) }
    var channels: [any Channel] = []
    do {
      while let descriptor = passed.take(named: "tls") {
        channels.append(try listener.accept(on: descriptor.release()))
      }
      if channels.isEmpty {
        for address in configuration.listen { channels.append(try listener.accept(at: address)) }
      }
    } catch {
      let places = configuration.listen.map(\.description).joined(separator: ", ")
      throw StartFailure(description: "\(places) cannot be listened on: \(TLSFailure.reason(of: error))")
    }
    state.withLock { $0.listeners = channels }
  }

  /// Begins to serve local clients. Peers are served already.
  public func start() throws(SystemError) {
    // The thread keeps the server until it is stopped.
    _ = try OSThread(name: "local") { [self] in desk.run(ask: { answer($0) }, gone: { giveUp($0) }) }
  }

  // MARK: State

  /// The TCP ports that peers can connect to.
  public var ports: [Int] { state.withLock { $0.listeners.compactMap { $0.localAddress?.port } } }

  /// One line for `systemctl status`.
  public var status: String {
    "\(pipes.load(ordering: .relaxed)) migrations carried, \(desk.waitingCount) VMMs waiting; certificate of "
      + certificates.current.names.joined(separator: ", ")
  }

  /// Reads the certificates again, for new connections.
  public func reload() {
    do throws(RemoteFault) {
      try certificates.reload()
      let current = certificates.current
      tell(.reloaded(names: current.names, endOfValidity: current.endOfValidity))
    } catch {
      tell(.reloadFailed(error))
    }
  }

  /// Accepts nothing new, and closes every connection. Waits until that is done; a second call does nothing.
  public func stop() {
    let listeners = state.withLock { state -> [any Channel]? in
      defer { state.isStopped = true }
      return state.isStopped ? nil : state.listeners
    }
    guard let listeners else { return }
    desk.stop()
    for listener in listeners { try? listener.close().wait() }
    try? group.syncShutdownGracefully()
    try? questions.syncShutdownGracefully()
    try? peerQuestions.syncShutdownGracefully()
  }

  // MARK: Local requests

  /// On the local socket's thread.
  private func answer(_ ticket: FrontDesk.Ticket) {
    switch ticket.request {
    case .await: break
    case .connect(let guest, let host): connect(ticket, guest, host)
    case .departure(let host, let guest, let migration):
      ask(ticket) { server throws(RemoteFault) in
        try server.settleFromHere(host, guest: guest, migration: migration)
      }
    case .settle(let host, let guest, let migration):
      ask(ticket) { server throws(RemoteFault) in
        try server.settleThere(host, guest: guest, migration: migration)
      }
    }
  }
}
