import LinuxOS
import RegistryInterface
import Varlink

/// Asks the registry of this host over Varlink: one connection a question, one answer.
struct RegistryClient: RegistryQuestions {
  let path: String
  /// For an answer, in milliseconds.
  let limit: UInt32

  func departure(of migration: String) throws(RemoteFault) -> DepartureAnswer {
    let reply: DepartureReply = try ask(.departure, MigrationQuestion(id: migration))
    switch reply.state {
    case .departed: return .departed(reply.receipt.flatMap { ReceiptText(hex: $0) })
    case .stays: return .stays
    case .undecided: return .undecided
    case .unknown: return .unknown
    }
  }

  func destination(of migration: String) throws(RemoteFault) -> HostAddress? {
    let reply: DepartureReply = try ask(.departure, MigrationQuestion(id: migration))
    return reply.host.flatMap { HostAddress(parsing: $0) }
  }

  func arrival(of migration: String) throws(RemoteFault) -> ArrivalState {
    let reply: ArrivalReply = try ask(.arrival, MigrationQuestion(id: migration))
    return reply.state
  }

  func settle(guest: String, migration: String, receipt: ReceiptText) throws(RemoteFault) -> ArrivalState {
    let reply: SettleReply = try ask(
      .settle, SettleRequest(guest: guest, id: migration, receipt: receipt.hex))
    return reply.state
  }

  func confirm(guest: String, migration: String) throws(RemoteFault) {
    let _: ConfirmReply = try ask(.confirm, ConfirmRequest(guest: guest, id: migration))
  }

  // MARK: One question

  private func ask<Reply: Decodable>(
    _ method: RegistryMethod, _ parameters: some Encodable
  ) throws(RemoteFault) -> Reply {
    let deadline = MonotonicClock.now() &+ UInt64(limit) * 1_000_000
    do {
      let reply = try exchange(method.fullName, parameters, deadline)
      switch reply.content {
      case .parameters(let parameters): return try parameters.decode(Reply.self)
      case .error(let name, let parameters): throw Self.fault(name, parameters)
      }
    } catch let fault as RemoteFault {
      throw fault
    } catch {
      throw RemoteFault.registryUnanswered(reason: "\(error)")
    }
  }

  private func exchange(
    _ method: String, _ parameters: some Encodable, _ deadline: UInt64
  ) throws -> ClientReply {
    let socket = try StreamSocket.connect(path: path)
    var machine = ClientConnection()
    try machine.call(method, parameters)
    while true {
      while !machine.output.isEmpty {
        let count = try socket.send(machine.output)
        if count == 0 { break }
        machine.didSend(count)
      }
      if let reply = try machine.nextReply() { return reply }
      let now = MonotonicClock.now()
      guard now < deadline else { throw RemoteFault.registryUnanswered(reason: "\(limit) ms have passed") }
      var interests = [
        Poller.Interest(socket.descriptor.number, readable: true, writable: !machine.output.isEmpty)
      ]
      _ = try Poller.wait(&interests, timeoutNanoseconds: deadline - now)
      while let bytes = try socket.receive() {
        if bytes.isEmpty {
          machine.receiveEnd()
          break
        }
        machine.receive(bytes)
      }
    }
  }

  /// An error reply as a fault: with the registry's own reason where it has one, else with the error's name.
  private static func fault(_ name: String, _ parameters: JSONParameters) -> RemoteFault {
    let failure = CommandFailure(errorName: name, parameters: parameters)
    let refusal: String
    switch try? RegistryError(name: name, parameters: parameters) {
    case .migrationRefused(let reason): refusal = reason.refusal.name
    case .refusedByRegistry(let reason): refusal = reason.refusal.name
    case _:
      let short = name.split(separator: ".").last ?? "registryRefused"
      refusal = short.prefix(1).lowercased() + short.dropFirst()
    }
    return .registryRefused(refusal: refusal, sentence: "\(failure.whatFailed): \(failure.cause)")
  }
}
