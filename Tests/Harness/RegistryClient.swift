import LinuxOS
public import RegistryInterface
public import Varlink

/// An operator's connection to the registry, for one thread.
public final class RegistryClient {
  private let socket: StreamSocket
  private var machine = ClientConnection(limits: ConnectionLimits())

  public init(path: String) throws { socket = try StreamSocket.connect(path: path) }

  /// Makes a call; its replies are read with ``next(seconds:)``.
  public func begin(
    _ method: RegistryMethod, _ parameters: some Encodable, mode: ClientConnection.Mode = .single
  ) throws {
    try machine.call(method.fullName, parameters, mode: mode)
    try flush()
  }

  /// The next reply.
  public func next(seconds: Double = 20) throws -> ClientReply {
    let deadline = MonotonicClock.now() + UInt64(seconds * 1e9)
    while true {
      try flush()
      while let bytes = try socket.receive() {
        if bytes.isEmpty {
          machine.receiveEnd()
          break
        }
        machine.receive(bytes)
      }
      if let reply = try machine.nextReply() { return reply }
      let now = MonotonicClock.now()
      guard now < deadline else { throw HarnessFailure("the registry did not answer within \(seconds) s") }
      _ = try Poller.waitReadable(socket.descriptor.number, timeoutNanoseconds: deadline - now)
    }
  }

  /// Makes one call and reads its one reply.
  ///
  /// - Throws: `RegistryError` or `ServiceError` when that is the answer.
  public func ask<Reply: Decodable>(
    _ method: RegistryMethod, _ parameters: some Encodable, seconds: Double = 20
  ) throws -> Reply {
    try begin(method, parameters)
    return try Self.decode(try next(seconds: seconds))
  }

  /// A reply's parameters, or the error that it is.
  public static func decode<Reply: Decodable>(_ reply: ClientReply) throws -> Reply {
    switch reply.content {
    case .parameters(let parameters): return try parameters.decode(Reply.self)
    case .error(let name, let parameters):
      if let error = try RegistryError(name: name, parameters: parameters) { throw error }
      if let error = ServiceError(name: name, parameters: parameters) { throw error }
      throw HarnessFailure("the registry answered with the unknown error \(name)")
    }
  }

  public func guests() throws -> [Guest] {
    let reply: ListReply = try ask(.list, NoParameters())
    return reply.guests
  }

  public func describe(_ guest: String) throws -> DescribeReply {
    try ask(.describe, DescribeRequest(guest: guest))
  }

  /// Asks for an upgrade and returns when the intent is recorded; start the successor then.
  public func beginUpgrade(_ guest: String) throws {
    try begin(.upgrade, UpgradeRequest(guest: guest), mode: .more)
    let first: UpgradeReply = try Self.decode(try next())
    guard first.step == .recorded else { throw HarnessFailure("the upgrade began with \(first.step)") }
  }

  /// Follows an upgrade to its end.
  public func finishUpgrade(seconds: Double = 60) throws -> (handoff: Handoff, guest: Guest) {
    while true {
      let reply: UpgradeReply = try Self.decode(try next(seconds: seconds))
      if reply.step == .finished, let handoff = reply.handoff { return (handoff, reply.guest) }
    }
  }

  private func flush() throws {
    while !machine.output.isEmpty {
      let count = try socket.send(machine.output)
      if count == 0 { return }
      machine.didSend(count)
    }
  }
}
