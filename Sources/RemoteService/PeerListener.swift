import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// Accepts TLS connections of other sidecars.
final class PeerListener: Sendable {
  private let group: MultiThreadedEventLoopGroup
  private let certificates: CertificateStore
  private let allowed: Set<String>
  private let limits: RemoteConfiguration.Limits
  private let tell: @Sendable (RemoteEvent) -> Void
  private let serve: @Sendable (PeerLink) -> Void
  private let openCount = Atomic<Int>(0)

  /// - Parameter serve: Called with each greeted connection, on its event loop.
  init(
    group: MultiThreadedEventLoopGroup, certificates: CertificateStore, allowed: Set<String>,
    limits: RemoteConfiguration.Limits, tell: @escaping @Sendable (RemoteEvent) -> Void,
    serve: @escaping @Sendable (PeerLink) -> Void
  ) {
    self.group = group
    self.certificates = certificates
    self.allowed = allowed
    self.limits = limits
    self.tell = tell
    self.serve = serve
  }

  /// Takes over a socket that listens already.
  func accept(on descriptor: Int32) throws -> any Channel {
    try bootstrap.withBoundSocket(descriptor).wait()
  }

  /// Binds a socket and listens.
  func accept(at address: HostAddress) throws -> any Channel {
    try bootstrap.bind(host: address.host, port: Int(address.port)).wait()
  }

  private var bootstrap: ServerBootstrap {
    ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 128)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { [self] channel in
        guard openCount.add(1, ordering: .relaxed).newValue <= limits.connections else {
          openCount.subtract(1, ordering: .relaxed)
          let address = channel.remoteAddress?.ipAddress ?? "a peer"
          tell(.refused(.tooManyConnections(limit: limits.connections), by: address))
          return channel.eventLoop.makeFailedFuture(RemoteFault.tooManyConnections(limit: limits.connections))
        }
        channel.closeFuture.whenComplete { [self] _ in openCount.subtract(1, ordering: .relaxed) }
        return channel.eventLoop.makeCompletedFuture { try prepare(channel) }
      }
  }

  private func prepare(_ channel: any Channel) throws {
    let address = channel.remoteAddress?.ipAddress ?? "a peer"
    let greeter = GreetingHandler(
      role: .accepting(allowed: allowed), limits: limits, on: channel.eventLoop)
    greeter.takeGreeting()?.whenComplete { [tell, serve] result in
      switch result {
      case .success(let greeting): serve(PeerLink(channel: channel, greeting: greeting))
      case .failure(let error):
        tell(.refused(error as? RemoteFault ?? .tlsFailed(peer: address, reason: "\(error)"), by: address))
      }
    }
    do {
      try Transport.apply(to: channel, idleMilliseconds: limits.idle)
      try channel.pipeline.syncOperations.addHandlers([
        TransportHandler(), NIOSSLServerHandler(context: certificates.current.server), greeter,
      ])
    } catch {
      greeter.abandon(error)
      throw error
    }
  }
}
