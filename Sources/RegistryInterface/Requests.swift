/// Parameters of `List` and `Metrics`: none.
public struct NoParameters: Codable, Hashable, Sendable {
  /// Nothing.
  public init() {}
}

/// Parameters of `Describe`.
public struct DescribeRequest: Codable, Hashable, Sendable {
  /// The guest's name.
  public var guest: String
  /// Only this handoff.
  public var handoff: UInt64?

  /// Asks for a guest, and for one or all of its handoffs.
  public init(guest: String, handoff: UInt64? = nil) {
    self.guest = guest
    self.handoff = handoff
  }
}

/// Parameters of `Watch`.
public struct WatchRequest: Codable, Hashable, Sendable {
  /// Only this guest.
  public var guest: String?

  /// Asks for events about one guest or all.
  public init(guest: String? = nil) {
    self.guest = guest
  }
}

/// Parameters of `Preflight`.
public struct PreflightRequest: Codable, Hashable, Sendable {
  /// The guest's name.
  public var guest: String

  /// Asks for the checks of a guest.
  public init(guest: String) {
    self.guest = guest
  }
}

/// Parameters of `Upgrade`.
public struct UpgradeRequest: Codable, Hashable, Sendable {
  /// The guest's name.
  public var guest: String
  /// How long to wait for a successor to attach; the registry's own limit if `nil`.
  public var deadlineMicroseconds: UInt64?
  /// Whether to go on although a check of `Preflight` says fail; `nil` is no.
  public var ignorePreflight: Bool?

  /// Asks for a handoff.
  public init(guest: String, deadlineMicroseconds: UInt64? = nil, ignorePreflight: Bool? = nil) {
    self.guest = guest
    self.deadlineMicroseconds = deadlineMicroseconds
    self.ignorePreflight = ignorePreflight
  }
}

/// Parameters of `Abort`.
public struct AbortRequest: Codable, Hashable, Sendable {
  /// The guest's name.
  public var guest: String
  /// Only if this is the handoff under way.
  public var handoff: UInt64?

  /// Asks to end a handoff.
  public init(guest: String, handoff: UInt64? = nil) {
    self.guest = guest
    self.handoff = handoff
  }
}
