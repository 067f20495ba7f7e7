public import Varlink

/// The errors of `io.baton.Registry`, by name.
public enum RegistryError: ReplyableError, Hashable {
  /// The registry knows no such guest.
  case unknownGuest(UnknownGuest)
  /// The guest has no such handoff, or it is forgotten.
  case unknownHandoff(UnknownHandoff)
  /// A handoff of this guest is under way.
  case handoffInProgress(HandoffInProgress)
  /// No handoff of this guest is under way.
  case noHandoffInProgress(UnknownGuest)
  /// The handoff is committed: the successor owns the guest.
  case alreadyCommitted(UnknownHandoff)
  /// The caller may not do this.
  case notAllowed(NotAllowed)
  /// A check says that the handoff would fail. Nothing was tried.
  case preflightFailed(PreflightFailed)
  /// The source refused when it was asked to prepare: nothing was tried.
  case refusedBySource(Refused)
  /// A successor came and did not take a guest that waits in custody: it goes on waiting.
  case refusedBySuccessor(Refused)
  /// The registry refused, for a reason that has no error of its own.
  case refusedByRegistry(Refused)
  /// The guest cannot be kept: its context is gone.
  case guestLost(GuestLost)
  /// The guest has ended.
  case guestEnded(UnknownGuest)
  /// A phase took longer than it may.
  case deadlinePassed(DeadlinePassed)
  /// A migration of this guest is under way.
  case migrationInProgress(MigrationInProgress)
  /// The guest has no such migration.
  case noMigration(NoMigration)
  /// The guest was given to another host, or is about to be.
  case guestDeparted(GuestDeparted)
  /// The migration cannot be, or not so.
  case migrationRefused(MigrationRefused)
  /// A quota is used up.
  case quotaExceeded(QuotaExceeded)
  /// The registry is stopping.
  case stopping

  /// The name without the interface.
  public var shortName: String {
    switch self {
    case .unknownGuest: "UnknownGuest"
    case .unknownHandoff: "UnknownHandoff"
    case .handoffInProgress: "HandoffInProgress"
    case .noHandoffInProgress: "NoHandoffInProgress"
    case .alreadyCommitted: "AlreadyCommitted"
    case .notAllowed: "NotAllowed"
    case .preflightFailed: "PreflightFailed"
    case .refusedBySource: "RefusedBySource"
    case .refusedBySuccessor: "RefusedBySuccessor"
    case .refusedByRegistry: "RefusedByRegistry"
    case .guestLost: "GuestLost"
    case .guestEnded: "GuestEnded"
    case .deadlinePassed: "DeadlinePassed"
    case .migrationInProgress: "MigrationInProgress"
    case .noMigration: "NoMigration"
    case .guestDeparted: "GuestDeparted"
    case .migrationRefused: "MigrationRefused"
    case .quotaExceeded: "QuotaExceeded"
    case .stopping: "Stopping"
    }
  }

  /// `io.baton.Registry.…`
  public var errorName: String { "\(BatonRegistry.name).\(shortName)" }

  /// The error's parameters.
  public var errorParameters: any Encodable & Sendable {
    switch self {
    case .unknownGuest(let value), .noHandoffInProgress(let value), .guestEnded(let value): value
    case .unknownHandoff(let value), .alreadyCommitted(let value): value
    case .handoffInProgress(let value): value
    case .notAllowed(let value): value
    case .preflightFailed(let value): value
    case .refusedBySource(let value), .refusedBySuccessor(let value), .refusedByRegistry(let value): value
    case .guestLost(let value): value
    case .deadlinePassed(let value): value
    case .migrationInProgress(let value): value
    case .noMigration(let value): value
    case .guestDeparted(let value): value
    case .migrationRefused(let value): value
    case .quotaExceeded(let value): value
    case .stopping: NoParameters()
    }
  }

  /// Reads an error reply.
  ///
  /// - Returns: `nil` if the name is not one of these errors.
  /// - Throws: ``ServiceError/invalidParameter(parameter:)`` if the parameters do not fit the name.
  public init?(name: String, parameters: JSONParameters) throws(ServiceError) {
    guard name.hasPrefix("\(BatonRegistry.name).") else { return nil }
    switch name.dropFirst(BatonRegistry.name.count + 1) {
    case "UnknownGuest": self = .unknownGuest(try parameters.decode(UnknownGuest.self))
    case "UnknownHandoff": self = .unknownHandoff(try parameters.decode(UnknownHandoff.self))
    case "HandoffInProgress": self = .handoffInProgress(try parameters.decode(HandoffInProgress.self))
    case "NoHandoffInProgress": self = .noHandoffInProgress(try parameters.decode(UnknownGuest.self))
    case "AlreadyCommitted": self = .alreadyCommitted(try parameters.decode(UnknownHandoff.self))
    case "NotAllowed": self = .notAllowed(try parameters.decode(NotAllowed.self))
    case "PreflightFailed": self = .preflightFailed(try parameters.decode(PreflightFailed.self))
    case "RefusedBySource": self = .refusedBySource(try parameters.decode(Refused.self))
    case "RefusedBySuccessor": self = .refusedBySuccessor(try parameters.decode(Refused.self))
    case "RefusedByRegistry": self = .refusedByRegistry(try parameters.decode(Refused.self))
    case "GuestLost": self = .guestLost(try parameters.decode(GuestLost.self))
    case "GuestEnded": self = .guestEnded(try parameters.decode(UnknownGuest.self))
    case "DeadlinePassed": self = .deadlinePassed(try parameters.decode(DeadlinePassed.self))
    case "MigrationInProgress": self = .migrationInProgress(try parameters.decode(MigrationInProgress.self))
    case "NoMigration": self = .noMigration(try parameters.decode(NoMigration.self))
    case "GuestDeparted": self = .guestDeparted(try parameters.decode(GuestDeparted.self))
    case "MigrationRefused": self = .migrationRefused(try parameters.decode(MigrationRefused.self))
    case "QuotaExceeded": self = .quotaExceeded(try parameters.decode(QuotaExceeded.self))
    case "Stopping": self = .stopping
    case _: return nil
    }
  }
}
