import LinuxOS
import RegistryInterface
import Varlink

/// A connection to the registry, for one thread.
final class RegistryConnection {
  private let socket: StreamSocket
  private var machine = ClientConnection()
  private let path: String

  /// Connects, and tries again for a moment while the registry's queue is full.
  init(path: String, timeoutNanoseconds: UInt64?) throws(CommandFailure) {
    self.path = path
    let deadline = MonotonicClock.now() &+ (timeoutNanoseconds ?? Self.defaultTimeout)
    while true {
      do throws(SystemError) {
        socket = try StreamSocket.connect(path: path)
        return
      } catch {
        guard error.wouldBlock, MonotonicClock.now() < deadline else { throw Self.failure(path, error) }
        var nothing: [Poller.Interest] = []
        _ = try? Poller.wait(&nothing, timeoutNanoseconds: 10_000_000)
      }
    }
  }

  /// Ten seconds.
  static let defaultTimeout: UInt64 = 10_000_000_000

  /// Queues a call.
  func call(
    _ method: RegistryMethod, _ parameters: some Encodable, mode: ClientConnection.Mode = .single
  ) throws(CommandFailure) {
    do {
      try machine.call(method.fullName, parameters, mode: mode)
    } catch {
      throw CommandFailure("call failed", cause: "\(error)", status: .failure)
    }
    try flush()
  }

  /// What to wait for.
  var interest: Poller.Interest {
    Poller.Interest(socket.descriptor.number, readable: true, writable: !machine.output.isEmpty)
  }

  /// Sends and receives what can be without waiting.
  func exchange() throws(CommandFailure) {
    try flush()
    do throws(SystemError) {
      while let bytes = try socket.receive() {
        if bytes.isEmpty {
          machine.receiveEnd()
          return
        }
        machine.receive(bytes)
      }
    } catch {
      guard error.isDisconnection else { throw Self.unreachable(path, "\(error)") }
      machine.receiveEnd()
    }
  }

  /// The next reply that is there, without waiting.
  func nextReply() throws(CommandFailure) -> ClientReply? {
    do throws(ProtocolViolation) {
      return try machine.nextReply()
    } catch {
      switch error {
      case .truncated:
        throw Self.unreachable(path, "the registry closed the connection before it answered")
      case .messageTooLong, .malformed, .wrongMemberType, .unknownMember, .missingMember, .contradictingFlags,
        .invalidMethodName, .unexpectedReply, .unexpectedContinuation, .slowReader, .unencodableReply:
        throw CommandFailure(
          "registry does not speak Varlink", cause: "\(error)", remedy: "check --socket", status: .failure)
      }
    }
  }

  /// Waits for the next reply.
  ///
  /// - Returns: `nil` when the time ran out.
  func waitForReply(deadline: UInt64?) throws(CommandFailure) -> ClientReply? {
    while true {
      try exchange()
      if let reply = try nextReply() { return reply }
      let now = MonotonicClock.now()
      if let deadline, now >= deadline { return nil }
      var interests = [interest]
      do throws(SystemError) {
        _ = try Poller.wait(&interests, timeoutNanoseconds: deadline.map { $0 - now })
      } catch {
        throw CommandFailure("waiting failed", cause: "\(error)", status: .failure)
      }
    }
  }

  /// Makes one call and waits for its one reply.
  func ask<Reply: Decodable>(
    _ method: RegistryMethod, _ parameters: some Encodable, timeoutNanoseconds: UInt64?
  ) throws(CommandFailure) -> Reply {
    try call(method, parameters)
    let limit = timeoutNanoseconds ?? Self.defaultTimeout
    guard let reply = try waitForReply(deadline: MonotonicClock.now() &+ limit) else {
      throw CommandFailure(
        "no answer", cause: "the registry was silent for \(PlainText.duration(microseconds: limit / 1000))",
        remedy: "look at batond's log, or raise --timeout", status: .registryUnreachable)
    }
    return try Self.decode(reply)
  }

  /// The parameters of a reply, or the failure that an error reply means.
  static func decode<Reply: Decodable>(_ reply: ClientReply) throws(CommandFailure) -> Reply {
    switch reply.content {
    case .error(let name, let parameters): throw CommandFailure(errorName: name, parameters: parameters)
    case .parameters(let parameters):
      do throws(ServiceError) {
        return try parameters.decode(Reply.self)
      } catch {
        throw CommandFailure(
          "answer was not understood", cause: "\(error)",
          remedy: "compare the versions of batonctl and batond", status: .failure)
      }
    }
  }

  private func flush() throws(CommandFailure) {
    do throws(SystemError) {
      while !machine.output.isEmpty {
        let count = try socket.send(machine.output)
        if count == 0 { return }
        machine.didSend(count)
      }
    } catch {
      // What the registry said before it went away is still to be read.
      guard error.isDisconnection else { throw Self.unreachable(path, "\(error)") }
      machine.didSend(machine.output.count)
    }
  }

  /// What a failed connect means: no right to, or nobody there.
  private static func failure(_ path: String, _ error: SystemError) -> CommandFailure {
    guard error.isPermissionDenial else { return unreachable(path, "\(error)") }
    return CommandFailure(
      "not allowed", cause: "\(error)",
      remedy: "run it as root or as a member of the socket's group", status: .notAllowed)
  }

  private static func unreachable(_ path: String, _ cause: String) -> CommandFailure {
    CommandFailure(
      "registry at \(path) cannot be reached", cause: cause,
      remedy: "check that batond runs, and --socket; guests run on without it",
      status: .registryUnreachable)
  }
}
