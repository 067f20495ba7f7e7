/// How a sidecar is set up.
public struct RemoteConfiguration: Sendable {
  /// Where to accept peers when no socket was passed.
  public var listen: [HostAddress] = [HostAddress(host: "::")]
  /// The local socket, when none was passed.
  public var localSocket = "/run/baton/remote.sock"
  /// The own registry's Varlink socket.
  public var registrySocket = "/run/baton/varlink"
  /// Certificate, key and trusted CAs.
  public var certificates: CertificateFiles
  /// Names of hosts that may connect, in lower case.
  public var allowedPeers: Set<String>
  /// Users that may use the local socket beside uid 0 and the own uid.
  public var users: Set<UInt32> = []
  /// The group that the local socket is given to, when none was passed.
  public var group: UInt32?
  /// The group whose members may ask and settle as operators, beside uid 0.
  public var adminGroup: UInt32?
  /// Threads that carry connections.
  public var threads = 2
  /// Deadlines.
  public var limits = Limits()

  /// A setup with defaults.
  public init(certificates: CertificateFiles, allowedPeers: Set<String>) {
    self.certificates = certificates
    self.allowedPeers = allowedPeers
  }

  /// Bounds on time and number.
  public struct Limits: Hashable, Sendable {
    /// From the first packet to a TCP connection, name lookup included, in milliseconds.
    public var connect: UInt32 = 10_000
    /// From TCP to the end of the TLS handshake, in milliseconds.
    public var handshake: UInt32 = 5_000
    /// For the first line, in milliseconds.
    public var line: UInt32 = 5_000
    /// Between two arrivals from the peer while more is wanted, in milliseconds.
    public var idle: UInt32 = 10_000
    /// For an answer of the own registry, in milliseconds.
    public var registry: UInt32 = 10_000
    /// Connections of each kind, local ones and those of peers, at one time.
    public var connections = 256
    /// Local connections of one user at one time.
    public var connectionsPerUser = 192

    /// The defaults.
    public init() {}
  }
}
