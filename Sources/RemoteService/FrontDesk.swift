import LinuxOS
import Synchronization

/// The local socket: reads first lines, and keeps those who wait until somebody takes them over.
///
/// One thread watches all of them, so that a client that goes away is noticed at once. Taking one over is possible
/// from any thread.
final class FrontDesk: Sendable {
  /// A request that is to be answered.
  struct Ticket: Sendable {
    let number: UInt64
    let request: LocalRequest
    let uid: UInt32
  }

  private struct Held {
    let client: LocalClient
    /// The guest that is waited for; nil for every other request.
    let guest: String?
    /// What came behind the first line.
    let remainder: [UInt8]
  }

  private struct State {
    var held: [UInt64: Held] = [:]
    var lastNumber: UInt64 = 0
    var isStopped = false
  }

  private let listener: LocalListener
  private let rights: LocalRights
  private let limits: RemoteConfiguration.Limits
  private let seats: LocalSeats
  private let tell: @Sendable (RemoteEvent) -> Void
  private let state = Mutex(State())
  private let wakeUp: EventDescriptor

  /// - Parameter listener: Listens already.
  init(
    listener: consuming LocalListener, rights: LocalRights, limits: RemoteConfiguration.Limits,
    tell: @escaping @Sendable (RemoteEvent) -> Void
  ) throws(SystemError) {
    try listener.descriptor.setNonblocking(true)
    self.listener = listener
    self.rights = rights
    self.limits = limits
    seats = LocalSeats(limit: limits.connections, limitPerUser: limits.connectionsPerUser)
    self.tell = tell
    wakeUp = try EventDescriptor()
  }

  /// How many VMMs wait.
  var waitingCount: Int { state.withLock { $0.held.values.count { $0.guest != nil } } }

  // MARK: Taking over

  /// Takes the VMM that waits for a guest.
  func takeWaiter(for guest: String) -> (client: LocalClient, remainder: [UInt8])? {
    take { $0.first { $0.value.guest == guest }?.key }
  }

  /// Takes who asked; nil when it went away meanwhile.
  func take(_ ticket: Ticket) -> (client: LocalClient, remainder: [UInt8])? {
    take { $0[ticket.number] == nil ? nil : ticket.number }
  }

  /// Answers with one line and hangs up.
  func answer(_ ticket: Ticket, _ line: [UInt8]) { take(ticket)?.client.send(line) }

  /// Whether who asked is still there.
  func isThere(_ ticket: Ticket) -> Bool { state.withLock { $0.held[ticket.number] != nil } }

  private func take(
    _ find: (borrowing [UInt64: Held]) -> UInt64?
  ) -> (client: LocalClient, remainder: [UInt8])? {
    let held = state.withLock { state in find(state.held).flatMap { state.held.removeValue(forKey: $0) } }
    guard let held else { return nil }
    // Its descriptor is no longer to be watched.
    wakeUp.signal()
    return (held.client, held.remainder)
  }

  // MARK: The thread

  /// Whose first line is not whole yet.
  private struct Conversation {
    let client: LocalClient
    /// Why it is refused, whatever it asks. Told behind its line, because who is hung up on while it writes may not
    /// read why.
    let refusal: RemoteFault?
    var buffer = LineBuffer()
    let deadline: UInt64
  }

  /// Ends ``run(ask:gone:)``, and with it everything that waits.
  func stop() {
    state.withLock { state in
      state.isStopped = true
      state.held = [:]
    }
    wakeUp.signal()
  }

  /// Watches until ``stop()``.
  ///
  /// - Parameters:
  ///   - ask: Gets every request but `await`, on this thread; must not wait.
  ///   - gone: Gets the number of a ticket whose client went away before it was taken.
  func run(ask: @Sendable (Ticket) -> Void, gone: @Sendable (UInt64) -> Void) {
    var conversations: [Conversation] = []
    while !state.withLock({ $0.isStopped }) {
      let held = state.withLock { $0.held.mapValues { $0.client.socket.descriptor.number } }
      let numbers = Array(held.keys)
      var interests = [
        Poller.Interest(wakeUp.descriptor.number), Poller.Interest(listener.descriptor.number),
      ]
      interests += conversations.map { Poller.Interest($0.client.socket.descriptor.number) }
      interests += numbers.map { Poller.Interest(held[$0] ?? -1) }
      let now = MonotonicClock.now()
      let nearest = conversations.map(\.deadline).min().map { $0 > now ? $0 - now : 0 }
      guard (try? Poller.wait(&interests, timeoutNanoseconds: nearest)) != nil else { continue }
      if interests[0].isReady { wakeUp.clear() }
      for (index, number) in numbers.enumerated() where interests[2 + conversations.count + index].isReady {
        if letGo(number) { gone(number) }
      }
      conversations = conversations.enumerated().compactMap { index, conversation in
        goOn(conversation, isReady: interests[2 + index].isReady, ask)
      }
      if interests[1].isReady { accept(into: &conversations) }
    }
  }

  private func accept(into conversations: inout [Conversation]) {
    // Not all at once: those who wait are looked at in between.
    for _ in 0..<Self.acceptedAtOnce {
      guard let descriptor = try? listener.accept() else { return }
      guard let identity = try? PeerIdentity(of: descriptor) else { continue }
      let seat = Result { () throws(RemoteFault) in try seats.take(identity.uid) }
      let client = LocalClient(descriptor, uid: identity.uid, seat: try? seat.get())
      var refusal: RemoteFault?
      if case .failure(let fault) = seat {
        refusal = fault
        guard conversations.count(where: { $0.refusal != nil }) < Self.refusedAtOnce else {
          refuse(client, fault)
          continue
        }
      }
      let deadline = MonotonicClock.now() &+ UInt64(limits.line) * 1_000_000
      conversations.append(Conversation(client: client, refusal: refusal, deadline: deadline))
    }
  }

  private static let acceptedAtOnce = 64
  /// So many of those without a place are heard out.
  private static let refusedAtOnce = 64

  /// Reads more of a first line; nil when that is over.
  private func goOn(
    _ conversation: Conversation, isReady: Bool, _ ask: (Ticket) -> Void
  ) -> Conversation? {
    var conversation = conversation
    let client = conversation.client
    do throws(RemoteFault) {
      guard isReady else {
        if MonotonicClock.now() >= conversation.deadline { throw .lineLate(milliseconds: limits.line) }
        return conversation
      }
      let bytes: [UInt8]?
      do throws(SystemError) { bytes = try client.socket.receive(maximum: FirstLine.limit) } catch {
        return nil
      }
      guard let bytes else { return conversation }
      if bytes.isEmpty { return nil }
      guard let line = try conversation.buffer.append(bytes) else { return conversation }
      if let refusal = conversation.refusal { throw refusal }
      try take(LocalRequest(parsing: line), client, conversation.buffer.bytes, ask)
    } catch {
      refuse(client, error)
    }
    return nil
  }

  private func take(
    _ request: LocalRequest, _ client: LocalClient, _ remainder: [UInt8], _ ask: (Ticket) -> Void
  ) throws(RemoteFault) {
    guard rights.allow(client, toAskAsOperator: request.isForOperators) else {
      throw .userNotAllowed(uid: client.uid, verb: request.verb)
    }
    var guest: String?
    if case .await(let name) = request {
      guard remainder.isEmpty else { throw .malformedLine("something follows it before it was answered") }
      guest = name
    }
    let number = state.withLock { state -> UInt64? in
      if let guest, state.held.values.contains(where: { $0.guest == guest }) { return nil }
      // Before anybody can take it: the first thing that a waiting VMM reads.
      if guest != nil { client.send(FirstLine.line("waiting")) }
      state.lastNumber += 1
      state.held[state.lastNumber] = Held(client: client, guest: guest, remainder: remainder)
      return state.lastNumber
    }
    guard let number else { throw .secondWaiter(guest: guest ?? "") }
    if let guest {
      tell(.waiting(guest: guest, uid: client.uid))
    } else {
      ask(Ticket(number: number, request: request, uid: client.uid))
    }
  }

  private func refuse(_ client: LocalClient, _ fault: RemoteFault) {
    client.send(FirstLine.refusing(fault))
    tell(.refused(fault, by: "uid \(client.uid)"))
  }

  /// Looks at a client of which something came while it waits; true when it is gone. It may have been taken
  /// meanwhile: then nothing of its stream may be read here.
  private func letGo(_ number: UInt64) -> Bool {
    state.withLock { state in
      guard let held = state.held[number] else { return false }
      do throws(SystemError) {
        guard let bytes = try held.client.socket.receive(maximum: FirstLine.limit) else { return false }
        if held.guest != nil, !bytes.isEmpty {
          held.client.send(FirstLine.refusing(.malformedLine("something follows it before it was answered")))
        } else if !bytes.isEmpty {
          let remainder = held.remainder + bytes
          guard remainder.count > Self.maximumRemainder else {
            state.held[number] = Held(client: held.client, guest: nil, remainder: remainder)
            return false
          }
          held.client.send(FirstLine.refusing(.malformedLine("too much follows it before it was answered")))
        }
      } catch {
        // Gone.
      }
      state.held[number] = nil
      return true
    }
  }

  /// What may come before the answer to a first line.
  private static let maximumRemainder = 64 << 10
}

/// Who may ask for what on the local socket.
struct LocalRights: Sendable {
  /// Beside uid 0 and the own one.
  let users: Set<UInt32>
  let adminGroup: UInt32?

  func allow(_ client: LocalClient, toAskAsOperator isForOperators: Bool) -> Bool {
    if client.uid == 0 || client.uid == ThisProcess.effectiveUser { return true }
    if !isForOperators { return users.contains(client.uid) }
    guard let adminGroup else { return false }
    if let identity = try? PeerIdentity(of: client.socket.descriptor), identity.gid == adminGroup {
      return true
    }
    return (try? PeerIdentity.groups(of: client.socket.descriptor))?.contains(adminGroup) ?? false
  }
}
