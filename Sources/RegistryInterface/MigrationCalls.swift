/// What is wanted of a migration.
public struct MigrationWish: Codable, Hashable, Sendable {
  /// Where to: a name or an address, with `:port` if it is not 4646.
  public var host: String
  /// Only plan; `nil` is no.
  public var planOnly: Bool?
  /// The longest pause; 300 ms if `nil`.
  public var maxPauseMilliseconds: UInt64?
  /// The longest time for all of it; none if `nil` or 0.
  public var maxTimeSeconds: UInt64?
  /// What may be sent in a second; all that goes if `nil` or 0.
  public var bandwidthBytesPerSecond: UInt64?
  /// Whether to go on although it does not converge; `nil` is no.
  public var allowNonconvergence: Bool?

  /// Asks for a migration to a host.
  public init(host: String) { self.host = host }
}

/// Parameters of `Migrate`.
public struct MigrateRequest: Codable, Hashable, Sendable {
  /// The guest's name.
  public var guest: String
  /// What is wanted.
  public var request: MigrationWish

  /// Asks for a migration.
  public init(guest: String, request: MigrationWish) {
    self.guest = guest
    self.request = request
  }
}

/// What a reply of `Migrate` tells.
public enum MigrateStep: String, Codable, Hashable, Sendable, CaseIterable {
  /// The source's VMM has the order.
  case accepted
  /// Something changed.
  case progress
  /// The end, or a person has to settle it: the migration and the guest say how it went.
  case finished
}

/// Reply of `Migrate`.
public struct MigrateReply: Codable, Hashable, Sendable {
  /// What this reply tells.
  public var step: MigrateStep
  /// The migration as it is now.
  public var migration: Migration
  /// The guest as it is now.
  public var guest: Guest

  /// A reply.
  public init(step: MigrateStep, migration: Migration, guest: Guest) {
    self.step = step
    self.migration = migration
    self.guest = guest
  }
}

/// Parameters of `Settle`.
public struct SettleRequest: Codable, Hashable, Sendable {
  /// The guest's name.
  public var guest: String
  /// The migration's id.
  public var id: String
  /// The source's receipt, 64 hexadecimal digits.
  public var receipt: String?
  /// Whether the source kept the guest; `nil` is no.
  public var cancelled: Bool?

  /// Says what became of a migration at its source.
  public init(guest: String, id: String, receipt: String? = nil, cancelled: Bool? = nil) {
    self.guest = guest
    self.id = id
    self.receipt = receipt
    self.cancelled = cancelled
  }
}

/// Reply of `Settle`.
public struct SettleReply: Codable, Hashable, Sendable {
  /// Where the arrival stands now.
  public var state: ArrivalState
  /// The guest as it is now.
  public var guest: Guest

  /// A reply.
  public init(state: ArrivalState, guest: Guest) {
    self.state = state
    self.guest = guest
  }
}

/// Parameters of `Confirm`.
public struct ConfirmRequest: Codable, Hashable, Sendable {
  /// The guest's name.
  public var guest: String
  /// The migration's id.
  public var id: String

  /// Says that the guest runs where it went to.
  public init(guest: String, id: String) {
    self.guest = guest
    self.id = id
  }
}

/// Reply of `Confirm`.
public struct ConfirmReply: Codable, Hashable, Sendable {
  /// The guest as it is now.
  public var guest: Guest

  /// A reply.
  public init(guest: Guest) { self.guest = guest }
}

/// Parameters of `Departure` and `Arrival`.
public struct MigrationQuestion: Codable, Hashable, Sendable {
  /// The migration's id.
  public var id: String
  /// Only of this guest.
  public var guest: String?

  /// Asks about a migration.
  public init(id: String, guest: String? = nil) {
    self.id = id
    self.guest = guest
  }
}

/// What the source's registry knows about a migration.
public enum DepartureState: String, Codable, Hashable, Sendable, CaseIterable {
  /// It gave the guest up.
  case departed
  /// It kept the guest, or the guest ended with it.
  case stays
  /// It has not decided.
  case undecided
  /// It knows no such migration.
  case unknown
}

/// Reply of `Departure`.
public struct DepartureReply: Codable, Hashable, Sendable {
  /// What is known.
  public var state: DepartureState
  /// The guest.
  public var guest: String?
  /// Where it went, or was to go.
  public var host: String?
  /// The receipt, 64 hexadecimal digits; of a guest that was given up and is not confirmed to run elsewhere.
  public var receipt: String?

  /// A reply.
  public init(state: DepartureState, guest: String? = nil, host: String? = nil, receipt: String? = nil) {
    self.state = state
    self.guest = guest
    self.host = host
    self.receipt = receipt
  }
}

/// What the target's registry knows about a migration.
public enum ArrivalState: String, Codable, Hashable, Sendable, CaseIterable {
  /// The guest is being received.
  case arriving
  /// All of it is there, and it waits for the receipt.
  case arrived
  /// The receipt was shown, and its VMM has said that it runs it.
  case running
  /// Nothing came of it.
  case over
  /// It knows no such migration.
  case unknown
}

/// Reply of `Arrival`.
public struct ArrivalReply: Codable, Hashable, Sendable {
  /// What is known.
  public var state: ArrivalState
  /// The guest.
  public var guest: String?
  /// Where it comes from.
  public var host: String?

  /// A reply.
  public init(state: ArrivalState, guest: String? = nil, host: String? = nil) {
    self.state = state
    self.guest = guest
    self.host = host
  }
}
