public import BatonWire
public import Systemd

/// What an operator can set about a registry.
public struct RegistryConfiguration: Sendable {
  /// Where the journal is kept; made with mode 0711 when it is not there, because clients pass through it.
  public var runtimeDirectory = "/run/baton"
  /// Where VMMs connect (`SOCK_SEQPACKET`).
  public var handoffSocket = "/run/baton/handoff"
  /// Where operators connect (Varlink on `SOCK_STREAM`).
  public var varlinkSocket = "/run/baton/varlink"
  /// The group that may connect to both sockets; only this process's user and group if nil.
  public var group: UInt32?
  /// The group that may change things; only uid 0 if nil.
  public var adminGroup: UInt32?
  /// Users that may be a successor for any guest, besides the guest's own user and root.
  public var allowedUsers: Set<UInt32> = []
  /// Users of baton-remote, which may fetch and show the receipts of migrations.
  public var remoteUsers: Set<UInt32> = []
  /// How long each phase may take; sent to VMMs in the welcome.
  public var deadlines = Deadlines()
  /// How long a new connection may stay silent, in milliseconds.
  public var helloMilliseconds: UInt32 = 2_000
  /// How long VMMs have to come back to a registry that found no journal, in milliseconds.
  public var settleMilliseconds: UInt32 = 1_000
  public var quotas = Quotas()
  public var remembering = Remembering()
  /// The least urgent level that is logged.
  public var logLevel = ServiceLog.Level.info

  public init() {}

  /// Limits for each user.
  public struct Quotas: Sendable {
    /// Connections on the handoff socket at one time.
    public var connections = 4_096
    /// Guests that are neither lost nor ended.
    public var guests = 2_048
    /// Descriptors in custody.
    public var descriptors = 65_536
    /// Connections of operators at one time, all users together.
    public var operators = 256
    /// Connections beyond that which are told so; further ones are closed without a word.
    public var operatorsTold = 32
    /// Calls of Watch at one time, all users together.
    public var watches = 128

    public init() {}
  }

  /// How long guests that are lost or ended are remembered.
  public struct Remembering: Sendable {
    /// At most so many of them, all users together; the oldest go first.
    public var guests = 1_024
    /// At most so long, in seconds.
    public var seconds: UInt64 = 86_400

    public init() {}
  }

  var journalPath: String { "\(runtimeDirectory)/registry.journal" }
}
