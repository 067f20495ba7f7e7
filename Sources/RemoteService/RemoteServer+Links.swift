import NIOCore
import NIOPosix
import RegistryInterface
import Synchronization

/// Guests on their way.
extension RemoteServer {
  /// A local VMM wants to send its guest.
  func connect(_ ticket: FrontDesk.Ticket, _ guest: String, _ host: HostAddress) {
    begin(ticket.number)
    let future = connector.connect(to: host, .migrate(guest: guest)) { [weak self] channel in
      self?.opened(channel, for: ticket.number)
    }
    future.whenComplete { [self] result in
      end(ticket.number)
      switch result {
      case .success(let link): joinSource(link, ticket, guest)
      case .failure(let error):
        let fault = error as? RemoteFault ?? .unreachable(host: host.description, reason: "\(error)")
        desk.answer(ticket, FirstLine.refusing(fault))
        tell(.refused(fault, by: host.description))
      }
    }
  }

  private func joinSource(_ link: PeerLink, _ ticket: FrontDesk.Ticket, _ guest: String) {
    let peer = link.greeting.peer
    do throws(RemoteFault) {
      switch try PeerReply(parsing: link.greeting.line) {
      case .error(let refusal, let sentence):
        throw .refusedByPeer(peer: peer, refusal: refusal, sentence: sentence)
      case .ok: break
      }
    } catch {
      link.close()
      desk.answer(ticket, FirstLine.refusing(error))
      tell(.refused(error, by: peer))
      return
    }
    guard let (client, remainder) = desk.take(ticket) else {
      link.close()
      return
    }
    client.send(FirstLine.line("ok \(peer)"))
    carry(link, client, remainder, guest, isIncoming: false)
  }

  /// A peer's connection was greeted. On its event loop.
  func serve(_ link: PeerLink) {
    do throws(RemoteFault) {
      switch try PeerRequest(parsing: link.greeting.line) {
      case .migrate(let guest):
        guard let (client, remainder) = desk.takeWaiter(for: guest) else { throw .notWaiting(guest: guest) }
        client.send(FirstLine.line("ok \(link.greeting.peer)"))
        link.channel.writeAndFlush(
          link.channel.allocator.buffer(bytes: FirstLine.line("ok")), promise: nil)
        carry(link, client, remainder, guest, isIncoming: true)
      case .departure(let migration):
        tellPeer(link, "departure") { server throws(RemoteFault) in
          try server.registry.departure(of: migration).words
        }
      case .arrival(let migration):
        tellPeer(link, "arrival") { server throws(RemoteFault) in
          [try server.registry.arrival(of: migration).rawValue]
        }
      case .settle(let guest, let migration, let receipt):
        tellPeer(link, "settle") { server throws(RemoteFault) in
          [try server.registry.settle(guest: guest, migration: migration, receipt: receipt).rawValue]
        }
      case .confirm(let guest, let migration):
        tellPeer(link, "confirm") { server throws(RemoteFault) in
          try server.settleWhereItWent(guest: guest, migration: migration)
        }
      }
    } catch {
      link.answer(FirstLine.refusing(error))
      tell(.refused(error, by: link.greeting.peer))
    }
  }

  private func carry(
    _ link: PeerLink, _ client: LocalClient, _ remainder: [UInt8], _ guest: String, isIncoming: Bool
  ) {
    let peer = link.greeting.peer
    pipes.add(1, ordering: .relaxed)
    tell(.linked(guest: guest, peer: peer, isIncoming: isIncoming))
    link.join(client, remainder: remainder, idleMilliseconds: configuration.limits.idle) {
      [self, seat = client.seat] fault, sent, received in
      // Kept until here.
      withExtendedLifetime(seat) {}
      pipes.subtract(1, ordering: .relaxed)
      tell(.ended(guest: guest, peer: peer, sent: sent, received: received, fault))
    }
  }

  // MARK: Attempts that may be given up

  private func begin(_ number: UInt64) { state.withLock { $0.attempts[number] = [] } }

  private func end(_ number: UInt64) { state.withLock { _ = $0.attempts.removeValue(forKey: number) } }

  private func opened(_ channel: any Channel, for number: UInt64) {
    let isWanted = state.withLock { state in
      guard state.attempts[number] != nil else { return false }
      state.attempts[number]?.append(channel)
      return true
    }
    if !isWanted { channel.close(promise: nil) }
  }

  /// Who asked for a connection went away.
  func giveUp(_ number: UInt64) {
    let channels = state.withLock { $0.attempts.removeValue(forKey: number) }
    for channel in channels ?? [] { channel.close(promise: nil) }
  }
}
