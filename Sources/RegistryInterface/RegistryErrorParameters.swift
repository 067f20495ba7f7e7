extension RegistryError {
  /// Parameters of errors that name only a guest.
  public struct UnknownGuest: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String

    /// Names a guest.
    public init(guest: String) {
      self.guest = guest
    }
  }

  /// Parameters of errors that name a guest and a handoff.
  public struct UnknownHandoff: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The handoff's number.
    public var handoff: UInt64

    /// Names a handoff.
    public init(guest: String, handoff: UInt64) {
      self.guest = guest
      self.handoff = handoff
    }
  }

  /// Parameters of `HandoffInProgress`.
  public struct HandoffInProgress: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The handoff under way.
    public var handoff: UInt64
    /// The phase it is in.
    public var phase: PhaseName?

    /// Names a handoff and its phase.
    public init(guest: String, handoff: UInt64, phase: PhaseName? = nil) {
      self.guest = guest
      self.handoff = handoff
      self.phase = phase
    }
  }

  /// Parameters of `NotAllowed`.
  public struct NotAllowed: Codable, Hashable, Sendable {
    /// The method's name.
    public var method: String
    /// The user who called.
    public var userId: UInt32
    /// What the method needs, for people.
    public var needs: String

    /// Says what is not allowed to whom.
    public init(method: String, userId: UInt32, needs: String) {
      self.method = method
      self.userId = userId
      self.needs = needs
    }
  }

  /// Parameters of `PreflightFailed`.
  public struct PreflightFailed: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The checks that failed.
    public var checks: [Check]

    /// Names the failed checks.
    public init(guest: String, checks: [Check]) {
      self.guest = guest
      self.checks = checks
    }
  }

  /// Parameters of `RefusedBySource`, `RefusedBySuccessor` and `RefusedByRegistry`.
  public struct Refused: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The handoff, if it had begun.
    public var handoff: UInt64?
    /// Why.
    public var refusal: Refusal

    /// Says why.
    public init(guest: String, handoff: UInt64? = nil, refusal: Refusal) {
      self.guest = guest
      self.handoff = handoff
      self.refusal = refusal
    }
  }

  /// Parameters of `GuestLost`.
  public struct GuestLost: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The handoff in which it was lost.
    public var handoff: UInt64?
    /// How that came about, for people.
    public var sentence: String

    /// Says how the guest was lost.
    public init(guest: String, handoff: UInt64? = nil, sentence: String) {
      self.guest = guest
      self.handoff = handoff
      self.sentence = sentence
    }
  }

  /// Parameters of `DeadlinePassed`.
  public struct DeadlinePassed: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The handoff's number.
    public var handoff: UInt64
    /// The phase that took too long.
    public var phase: PhaseName
    /// How long it may take.
    public var limitMicroseconds: UInt64
    /// Where the guest stands now.
    public var state: GuestState

    /// Says which phase took too long.
    public init(
      guest: String, handoff: UInt64, phase: PhaseName, limitMicroseconds: UInt64, state: GuestState
    ) {
      self.guest = guest
      self.handoff = handoff
      self.phase = phase
      self.limitMicroseconds = limitMicroseconds
      self.state = state
    }
  }

  /// Parameters of `MigrationInProgress`.
  public struct MigrationInProgress: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The migration's id.
    public var migration: String
    /// Where it stands.
    public var phase: MigrationPhase?

    /// Names a migration and its phase.
    public init(guest: String, migration: String, phase: MigrationPhase? = nil) {
      self.guest = guest
      self.migration = migration
      self.phase = phase
    }
  }

  /// Parameters of `NoMigration`.
  public struct NoMigration: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The id that was asked for.
    public var migration: String?

    /// Names a guest and an id.
    public init(guest: String, migration: String? = nil) {
      self.guest = guest
      self.migration = migration
    }
  }

  /// Parameters of `GuestDeparted`.
  public struct GuestDeparted: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The migration's id.
    public var migration: String
    /// Where it went.
    public var host: String
    /// Whether it is known to run there.
    public var confirmed: Bool
    /// What that means for what was asked, for people.
    public var sentence: String

    /// Says where a guest went.
    public init(guest: String, migration: String, host: String, confirmed: Bool, sentence: String) {
      self.guest = guest
      self.migration = migration
      self.host = host
      self.confirmed = confirmed
      self.sentence = sentence
    }
  }

  /// Parameters of `MigrationRefused`.
  public struct MigrationRefused: Codable, Hashable, Sendable {
    /// The guest's name.
    public var guest: String
    /// The migration's id, if it has one.
    public var migration: String?
    /// Why.
    public var refusal: Refusal

    /// Says why.
    public init(guest: String, migration: String? = nil, refusal: Refusal) {
      self.guest = guest
      self.migration = migration
      self.refusal = refusal
    }
  }

  /// Parameters of `QuotaExceeded`.
  public struct QuotaExceeded: Codable, Hashable, Sendable {
    /// Which quota: `connections`, `guests`, `descriptors` or `watches`.
    public var quota: String
    /// How much is allowed.
    public var limit: UInt64

    /// Says which quota is used up.
    public init(quota: String, limit: UInt64) {
      self.quota = quota
      self.limit = limit
    }
  }
}
