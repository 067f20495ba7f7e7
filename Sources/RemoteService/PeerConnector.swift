import LinuxOS
import NIOCore
import NIOPosix
import NIOSSL

/// Makes TLS connections to other sidecars.
final class PeerConnector: Sendable {
  private let group: MultiThreadedEventLoopGroup
  private let certificates: CertificateStore
  private let limits: RemoteConfiguration.Limits

  init(
    group: MultiThreadedEventLoopGroup, certificates: CertificateStore, limits: RemoteConfiguration.Limits
  ) {
    self.group = group
    self.certificates = certificates
    self.limits = limits
  }

  /// Connects, shakes hands, sends a request and reads the answer's line.
  ///
  /// - Parameter opened: Called with the connection as soon as there is one, so that it can be given up.
  /// - Returns: Fails with a ``RemoteFault`` only.
  func connect(
    to host: HostAddress, _ request: PeerRequest, opened: @escaping @Sendable (any Channel) -> Void
  ) -> EventLoopFuture<PeerLink> {
    let loop = group.next()
    let context = certificates.current.client
    let limits = limits
    // A name may have several addresses: each gets a channel, and the first that connects is kept.
    let result = ClientBootstrap(group: loop)
      .connectTimeout(.milliseconds(Int64(limits.connect)))
      .channelInitializer { channel in
        opened(channel)
        return channel.eventLoop.makeCompletedFuture {
          try Transport.apply(to: channel, idleMilliseconds: limits.idle)
          let tls = try NIOSSLClientHandler(
            context: context, serverHostname: host.isAddress ? nil : host.host)
          try channel.pipeline.syncOperations.addHandlers([
            TransportHandler(), tls,
            GreetingHandler(
              role: .connecting(to: host.host, line: request.line), limits: limits, on: channel.eventLoop),
          ])
        }
      }
      .connect(host: host.host, port: Int(host.port))
    return result.hop(to: loop)
      .flatMapErrorThrowing { throw Self.fault($0, host, limits) }
      .flatMap { channel in
        let greeter = try? channel.pipeline.syncOperations.handler(type: GreetingHandler.self)
        guard let greeting = greeter?.takeGreeting() else {
          return loop.makeFailedFuture(
            RemoteFault.linkLost(peer: host.host, reason: "it closed the connection at once"))
        }
        return greeting.map { PeerLink(channel: channel, greeting: $0) }
      }
  }

  /// What a failed connect means.
  private static func fault(
    _ error: any Error, _ host: HostAddress, _ limits: RemoteConfiguration.Limits
  ) -> RemoteFault {
    if let fault = error as? RemoteFault { return fault }
    if let error = error as? ChannelError, case .connectTimeout = error {
      return .connectLate(host: host.description, milliseconds: limits.connect)
    }
    guard let error = error as? NIOConnectionError else {
      return .unreachable(host: host.description, reason: TLSFailure.reason(of: error))
    }
    if let attempt = error.connectionErrors.last {
      if let inner = attempt.error as? ChannelError, case .connectTimeout = inner {
        return .connectLate(host: host.description, milliseconds: limits.connect)
      }
      let reason =
        (attempt.error as? IOError).map { SystemError(.connect, code: $0.errnoCode).description }
        ?? "\(attempt.error)"
      return .unreachable(host: host.description, reason: reason)
    }
    return .unreachable(host: host.description, reason: "its name cannot be resolved")
  }
}
