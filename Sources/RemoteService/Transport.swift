import Glibc
import NIOCore
import NIOPosix
import NIOSSL

/// How sockets are set up: few system calls a MiB, and buffers that stay in a processor's cache.
enum Transport {
  /// What one read takes at most.
  static let readByteCount = 256 << 10
  /// What is to be kept in flight to the local VMM, as far as the host allows.
  static let localSendBufferByteCount = 1 << 20

  /// Only when everything is sent is more to be read, see ``Pipe``.
  static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 1, high: 1)

  static func tcp(_ name: Int32) -> ChannelOptions.Types.SocketOption {
    ChannelOptions.Types.SocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: name))
  }

  /// Sets what every TLS connection has: notices within `idle` that the other host is gone.
  static func apply(
    to channel: any Channel, idleMilliseconds: UInt32
  ) throws {
    guard let options = channel.syncOptions else { return }
    try options.setOption(.autoRead, value: false)
    try options.setOption(.allowRemoteHalfClosure, value: true)
    try options.setOption(.maxMessagesPerRead, value: 1)
    try options.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readByteCount))
    try options.setOption(.writeBufferWaterMark, value: waterMark)
    try options.setOption(.socketOption(.so_keepalive), value: 1)
    try options.setOption(.tcpOption(.tcp_nodelay), value: 1)
    try options.setOption(tcp(TCP_KEEPIDLE), value: 5)
    try options.setOption(tcp(TCP_KEEPINTVL), value: 2)
    try options.setOption(tcp(TCP_KEEPCNT), value: 3)
    try options.setOption(tcp(TCP_USER_TIMEOUT), value: Int(idleMilliseconds))
  }
}

extension Transport {
  /// Sets what a local VMM's connection has.
  static func apply(toLocal channel: any Channel) throws {
    guard let options = channel.syncOptions else { return }
    try options.setOption(.autoRead, value: false)
    try options.setOption(.allowRemoteHalfClosure, value: true)
    try options.setOption(.maxMessagesPerRead, value: 1)
    try options.setOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: readByteCount))
    try options.setOption(.writeBufferWaterMark, value: waterMark)
    try options.setOption(.socketOption(.so_sndbuf), value: localSendBufferByteCount)
  }
}

extension Transport {
  /// Closes a TLS connection that carries nothing any more: with the end of the stream, and as soon as that of the
  /// peer is there.
  static func close(_ channel: any Channel) {
    // While half-closed streams are allowed the TLS library would wait for its timeout instead.
    try? channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
    channel.read()
    channel.close(promise: nil)
  }
}
