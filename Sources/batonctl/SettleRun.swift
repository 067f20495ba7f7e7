import RegistryInterface

/// Settles a migration: asks this host's registry what is open, the other side what became of it, and tells the
/// registry.
struct SettleRun {
  /// What a person says where nobody can be asked.
  enum Word: Hashable {
    /// At the source: nobody has the guest.
    case lost
    /// At the target: it runs where it was.
    case stays
  }

  let guest: String
  let peer: RemoteHost?
  let word: Word?
  let socketPath: String
  let sidecarPath: String
  let timeoutNanoseconds: UInt64?

  /// Does it all.
  func run() throws(CommandFailure) -> (Settlement, Settlement.Result) {
    let reply: DescribeReply = try ask(.describe, DescribeRequest(guest: guest))
    let settlement = try Settlement(reply.guest, peer: peer)
    guard let word else { return (settlement, try ask(settlement)) }
    return (settlement, try tell(word, settlement))
  }

  private func ask(_ settlement: Settlement) throws(CommandFailure) -> Settlement.Result {
    let sidecar = SidecarCall(
      path: sidecarPath, timeoutNanoseconds: timeoutNanoseconds ?? SidecarCall.defaultTimeout)
    let words: SidecarCall.Answer
    do throws(CommandFailure) {
      words = try sidecar.ask(settlement.question)
    } catch {
      throw settlement.unasked(error)
    }
    let result = try settlement.result(words)
    if result.isCancellation { try letGo(settlement) }
    return result
  }

  /// Passes the person's word on.
  private func tell(_ word: Word, _ settlement: Settlement) throws(CommandFailure) -> Settlement.Result {
    switch (settlement.migration.role, word) {
    case (.source, .lost):
      let _: ConfirmReply = try ask(.confirm, ConfirmRequest(guest: guest, id: settlement.migration.id))
      return Settlement.Result(sentence: "given up for lost by your word; its name is free again", end: .lost)
    case (.target, .stays):
      try letGo(settlement)
      return Settlement.Result(
        sentence: "what came here was let go, by your word that it runs on at \(settlement.peer)",
        end: .stayed)
    case (.source, .stays):
      throw Self.wrongHost("--stays is for the host that the guest came to")
    case (.target, .lost):
      throw Self.wrongHost("--lost is for the host that gave the guest up")
    }
  }

  /// The source kept the guest.
  private func letGo(_ settlement: Settlement) throws(CommandFailure) {
    let _: SettleReply = try ask(
      .settle, SettleRequest(guest: guest, id: settlement.migration.id, cancelled: true))
  }

  private static func wrongHost(_ cause: String) -> CommandFailure {
    CommandFailure("nothing was told", cause: cause, remedy: "run it without options", status: .failure)
  }

  private func ask<Reply: Decodable>(
    _ method: RegistryMethod, _ parameters: some Encodable
  ) throws(CommandFailure) -> Reply {
    try RegistryConnection(path: socketPath, timeoutNanoseconds: timeoutNanoseconds)
      .ask(method, parameters, timeoutNanoseconds: timeoutNanoseconds)
  }
}
