import NIOCore
import NIOPosix
import Testing

/// A TCP port whose queue is full, so that the kernel drops what comes: as behind a firewall.
final class FullPort {
  let port: UInt16
  private let listener: any Channel
  private var queued: [any Channel] = []

  init() throws {
    let group = MultiThreadedEventLoopGroup.singleton
    listener = try ServerBootstrap(group: group)
      .serverChannelOption(.backlog, value: 0)
      // Nobody is accepted.
      .serverChannelOption(.autoRead, value: false)
      .bind(host: "127.0.0.1", port: 0).wait()
    port = UInt16(listener.localAddress?.port ?? 0)
    let bootstrap = ClientBootstrap(group: group).connectTimeout(.milliseconds(200))
    while let channel = try? bootstrap.connect(host: "127.0.0.1", port: Int(port)).wait() {
      queued.append(channel)
      try #require(queued.count < 16, "the queue takes everybody")
    }
  }

  deinit {
    for channel in queued { channel.close(promise: nil) }
    listener.close(promise: nil)
  }
}
