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
