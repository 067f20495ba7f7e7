import NIOCore
import NIOPosix
import RegistryInterface

/// Migrations whose last answer was lost: what registries tell each other.
extension RemoteServer {
  /// Answers an operator's question, on a thread that may wait.
  func ask(
    _ ticket: FrontDesk.Ticket, _ body: @escaping @Sendable (RemoteServer) throws(RemoteFault) -> String
  ) {
    questions.submit { [weak self] state in
      guard let self else { return }
      let line: [UInt8]
      do throws(RemoteFault) {
        guard case .active = state else { throw .stopping }
        let words = try body(self)
        line = FirstLine.line("ok \(words)")
        tell(.answered(verb: ticket.request.verb, peer: "uid \(ticket.uid)", answer: words))
      } catch {
        line = FirstLine.refusing(error)
        tell(.refused(error, by: "uid \(ticket.uid)"))
      }
      desk.answer(ticket, line)
    }
  }

  /// Answers a peer's question with what the registry says, from a thread that may wait.
  func tellPeer(
    _ link: PeerLink, _ verb: String,
    _ body: @escaping @Sendable (RemoteServer) throws(RemoteFault) -> [String]
  ) {
    peerQuestions.submit { [weak self] state in
      guard let self else { return }
      do throws(RemoteFault) {
        guard case .active = state else { throw .stopping }
        let words = try body(self)
        link.answer(FirstLine.line((["ok"] + words).joined(separator: " ")))
        // The first word only: what may follow it is a secret.
        tell(.answered(verb: verb, peer: link.greeting.peer, answer: words.first ?? ""))
      } catch {
        link.answer(FirstLine.refusing(error))
        tell(.refused(error, by: link.greeting.peer))
      }
    }
  }

  /// At the target: asks the source whether it gave the guest up, and if so settles here with its receipt and lets the
  /// source know.
  ///
  /// Says what the source answered, and how far the guest is here then. That the source kept the guest is only said:
  /// ending an arrival for it is an operator's word.
  func settleFromHere(
    _ host: HostAddress, guest: String, migration: String
  ) throws(RemoteFault) -> String {
    let departure = try DepartureAnswer(words: try askPeer(host, .departure(migration: migration)))
    guard case .departed(let receipt?) = departure else {
      return "\(departure.word) \(try registry.arrival(of: migration).rawValue)"
    }
    let arrival = try registry.settle(guest: guest, migration: migration, receipt: receipt)
    let words = "\(departure.word) \(arrival.rawValue)"
    guard arrival == .running else { return words }
    do throws(RemoteFault) {
      let known = try askPeer(host, .confirm(guest: guest, migration: migration))
      return known == ["departed", "running"] ? words : "\(words) unconfirmed"
    } catch {
      // The guest runs here whether the source knows or not.
      tell(.refused(error, by: host.description))
      return "\(words) unconfirmed"
    }
  }

  /// At the source: somebody says that the guest runs at the target. No peer's word is taken for that: the host that
  /// the own registry knows as the target is asked.
  func settleWhereItWent(guest: String, migration: String) throws(RemoteFault) -> [String] {
    guard let host = try registry.destination(of: migration) else {
      return [try registry.departure(of: migration).word, ArrivalState.unknown.rawValue]
    }
    return try settleThere(host, guest: guest, migration: migration)
      .split(separator: " ").map { String($0) }
  }

  /// At the source: hands the receipt over if there is one, and says how far both sides are.
  func settleThere(
    _ host: HostAddress, guest: String, migration: String
  ) throws(RemoteFault) -> String {
    let departure = try registry.departure(of: migration)
    var request = PeerRequest.arrival(migration: migration)
    if case .departed(let receipt?) = departure {
      request = .settle(guest: guest, migration: migration, receipt)
    }
    let words = try askPeer(host, request)
    guard let word = words.first, words.count == 1, let arrival = ArrivalState(rawValue: word) else {
      throw .malformedLine("that is no arrival")
    }
    if case .departed(_?) = departure, arrival == .running {
      try registry.confirm(guest: guest, migration: migration)
    }
    return "\(departure.word) \(arrival.rawValue)"
  }

  /// Asks another sidecar one thing. Waits.
  private func askPeer(_ host: HostAddress, _ request: PeerRequest) throws(RemoteFault) -> [String] {
    let link: PeerLink
    do {
      link = try connector.connect(to: host, request) { _ in }.wait()
    } catch {
      throw error as? RemoteFault ?? .unreachable(host: host.description, reason: "\(error)")
    }
    link.close()
    switch try PeerReply(parsing: link.greeting.line) {
    case .ok(let words): return words
    case .error(let refusal, let sentence):
      throw .refusedByPeer(peer: host.host, refusal: refusal, sentence: sentence)
    }
  }
}
