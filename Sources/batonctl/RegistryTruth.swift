import LinuxOS
import RegistryInterface

/// What the registry says about the guests of a run once the run is over.
struct RegistryTruth {
  /// The guests that it knows.
  let guests: [String: Guest]
  /// Why it did not tell, or not all.
  let failure: CommandFailure?

  /// How long guests may take to come to rest, and VMMs to present themselves to a registry that was restarted.
  static let patience: UInt64 = 15_000_000_000
  /// How long a registry that does not answer may take to be back.
  static let absence: UInt64 = 30_000_000_000

  /// Asks until every guest is at rest, and no longer than that may take.
  ///
  /// - Parameters:
  ///   - names: Guests that the registry knew.
  ///   - isPatient: Whether there is time to wait for what is still going on.
  init(_ names: [String], socketPath: String, isPatient: Bool) {
    let start = MonotonicClock.now()
    while true {
      let elapsed = MonotonicClock.now() &- start
      do throws(CommandFailure) {
        let limit: UInt64 = 2_000_000_000
        let connection = try RegistryConnection(path: socketPath, timeoutNanoseconds: limit)
        let reply: ListReply = try connection.ask(.list, NoParameters(), timeoutNanoseconds: limit)
        let known = Dictionary(reply.guests.map { ($0.name, $0) }) { first, _ in first }
        let isSettled = names.allSatisfy { known[$0].map(Self.isAtRest) ?? false }
        if isSettled || !isPatient || elapsed >= Self.patience {
          guests = known
          failure = nil
          return
        }
      } catch {
        if !isPatient || elapsed >= Self.absence {
          guests = [:]
          failure = error
          return
        }
      }
      var nothing: [Poller.Interest] = []
      _ = try? Poller.wait(&nothing, timeoutNanoseconds: 200_000_000)
    }
  }

  /// Whether nothing more is to be expected without a person.
  static func isAtRest(_ guest: Guest) -> Bool {
    switch guest.state {
    // What comes of a migration is no matter of an upgrade, which is refused meanwhile.
    case .lost, .ended, .waiting, .departed, .departing, .arriving: true
    case .running: guest.handoff == nil && guest.owner != nil
    case .preparing, .frozen, .staged, .claimed, .takingBack: guest.alarm != nil
    }
  }
}
