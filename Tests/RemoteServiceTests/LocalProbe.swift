import LinuxOS
import Testing

@testable import RemoteService

/// A connection to a sidecar's local socket, with calls that wait: ten seconds at most.
final class LocalProbe: Sendable {
  let socket: StreamSocket

  init(path: String) throws { socket = try StreamSocket.connect(path: path) }

  private static let limit: UInt64 = 10_000_000_000

  private func wait(writable: Bool) throws {
    var interests = [Poller.Interest(socket.descriptor.number, readable: !writable, writable: writable)]
    try #require(try Poller.wait(&interests, timeoutNanoseconds: Self.limit) > 0, "nothing came, or went")
  }

  func send(_ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = try socket.send(rest)
      rest = rest.dropFirst(count)
      if count == 0 { try wait(writable: true) }
    }
  }

  /// Sends a block again and again, until nothing is taken for a while.
  func sendUntilStuck(_ block: [UInt8], limit: Int) throws -> Int {
    var count = 0
    while count < limit {
      let sent = try socket.send(block[(count % block.count)...])
      count += sent
      if sent == 0 {
        var interests = [Poller.Interest(socket.descriptor.number, readable: false, writable: true)]
        if try Poller.wait(&interests, timeoutNanoseconds: 500_000_000) == 0 { break }
      }
    }
    return count
  }

  func endSending() throws { try socket.endSending() }

  /// Some bytes; empty at the end of the stream, and when the connection was reset.
  func receive(maximum: Int = 1 << 16) throws -> [UInt8] {
    while true {
      do throws(SystemError) {
        if let bytes = try socket.receive(maximum: maximum) { return bytes }
      } catch {
        guard error.isDisconnection else { throw error }
        return []
      }
      try wait(writable: false)
    }
  }

  /// A line without its end; empty at the end of the stream.
  func line() throws -> String {
    var bytes: [UInt8] = []
    while bytes.last != UInt8(ascii: "\n") {
      let next = try receive(maximum: 1)
      if next.isEmpty { break }
      bytes += next
    }
    return String(decoding: bytes.filter { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
  }

  func receiveAll() throws -> [UInt8] {
    var all: [UInt8] = []
    while true {
      let bytes = try receive(maximum: 1 << 20)
      if bytes.isEmpty { return all }
      all += bytes
    }
  }

  /// So many bytes.
  func receive(exactly count: Int) throws -> [UInt8] {
    var all: [UInt8] = []
    while all.count < count {
      let bytes = try receive(maximum: count - all.count)
      try #require(!bytes.isEmpty, "the stream ended after \(all.count) of \(count) bytes")
      all += bytes
    }
    return all
  }
}

/// Two sidecars, a VMM at each, and the pipe between them.
struct LinkedVMMs {
  let source: RunningSidecar
  let target: RunningSidecar
  let sender: LocalProbe
  let receiver: LocalProbe

  init(
    _ adjustSource: (inout RemoteConfiguration) -> Void = { _ in },
    _ adjustTarget: (inout RemoteConfiguration) -> Void = { _ in }
  ) throws {
    source = try RunningSidecar(.north, adjustSource)
    target = try RunningSidecar(.south, adjustTarget)
    (sender, receiver) = try Self.link(source, target, "vm1")
  }

  /// Brings one more guest's VMMs together.
  static func link(
    _ source: RunningSidecar, _ target: RunningSidecar, _ guest: String
  ) throws -> (sender: LocalProbe, receiver: LocalProbe) {
    let receiver = try target.client("await \(guest)")
    try #require(try receiver.line() == "waiting")
    let sender = try source.client("connect \(guest) localhost:\(target.port)")
    try #require(try sender.line() == "ok localhost")
    try #require(try receiver.line() == "ok north.test")
    return (sender, receiver)
  }
}
