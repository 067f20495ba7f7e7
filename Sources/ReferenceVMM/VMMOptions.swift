public import LinuxOS

/// What the command line of the reference VMM says. The same options start a fresh guest or a
/// successor; what a successor takes over (RAM, disk, console, named descriptors) it does not open.
public struct VMMOptions: Sendable {
  public enum SEVChoice: String, Sendable, CaseIterable { case model, none }
  /// Ways in which a test makes this VMM break the rules; never used otherwise.
  public enum Misbehaviour: String, Sendable, CaseIterable {
    /// Goes on running the guest after the verdict `release`.
    case runAfterRelease = "run-after-release"
    /// Gives the baton back instead of using it.
    case returnBaton = "return-baton"
    /// Declines every offer.
    case decline
    /// Declines, as source, every handoff.
    case declineHandoff = "decline-handoff"
    /// Runs the guest in a copy of its RAM, as if it could be copied.
    case copyRAM = "copy-ram"
  }

  public var guest: String
  public var configuration: MachineConfiguration
  public var pages: PageSize
  public var kind: MachineKindChoice
  public var sev: SEVChoice
  /// How a SEV guest is handed on from here.
  public var handoff: HandoffChoice
  /// Encrypt the register state of a fresh SEV guest too (SEV-ES); a successor learns it from its source.
  public var encryptsState: Bool
  public var modelSocket: String
  public var registry: String
  public var diskPath: String?
  /// Where console lines go: a path (appended to) or `fd:N`, an inherited descriptor.
  public var console: String?
  /// Where events go as JSON lines: a path (appended to) or `fd:N`.
  public var events: String?
  /// Inherited descriptors that travel with the guest, by name.
  public var named: [(name: String, number: Int32)]
  /// Whether VM descriptors go into custody, so that a staged guest outlives its VMMs. With way `move` the
  /// source's VM always does; the others then stay out.
  public var givesCustody: Bool
  /// Insist on being the first owner.
  public var isFresh: Bool
  public var build: String
  /// How long to wait for the registry and for its decisions, milliseconds.
  public var patienceMilliseconds: UInt64
  /// The state format to say and write; older ones serve tests of going back.
  public var stateFormat: UInt16
  public var misbehaviour: Misbehaviour?
  /// Wait for a guest that comes from another host.
  public var isIncoming: Bool
  /// Do that where nobody has the guest here; else become its successor.
  public var waitsIfAbsent: Bool
  /// File with the certificate of this host's processor as AMD signed it (CEK), which the firmware has not.
  public var signedCEK: String?
  /// File with AMD's own certificates for this generation of processors: ASK, then ARK.
  public var amdChain: String?
  /// Socket of the remote sidecar, baton-remote.
  public var remoteSocket: String
  /// How long a peer on another host may be silent, milliseconds.
  public var linkTimeoutMilliseconds: UInt64
  /// Accept a target whose certificates end in the test root of the SEV model. It is the model that makes such
  /// guests, so that nothing is lost by it.
  public var trustsModelRoot: Bool
  /// What the owner of a fresh SEV guest demands; SEV-ES is added where ``encryptsState`` says so.
  public var policy: SEVPolicyBits
  /// Tell a fresh SEV guest by CPUID that it may be migrated.
  public var offersMigration: Bool
  /// The variable store of the firmware that a fresh SEV guest boots with; nil for none, as with a kernel that is
  /// booted directly.
  public var uefiVariables: String?
  /// Whether a fresh SEV guest ever says that it is ready for migration.
  public var guestAgrees: Bool

  /// Version and build id of this program: `baton-vmm 0.1.0 build-id 5b90b7…`.
  public static let ownBuild =
    "baton-vmm \(ProgramVersion.text)" + (BuildID.ofThisProgram.map { " build-id \($0)" } ?? "")

  public init(guest: String, configuration: MachineConfiguration) {
    self.guest = guest
    self.configuration = configuration
    pages = .base
    kind = .auto
    sev = .none
    handoff = .auto
    encryptsState = false
    modelSocket = "/run/baton/sevmodeld"
    registry = "/run/baton/handoff"
    named = []
    givesCustody = true
    isFresh = false
    build = Self.ownBuild
    patienceMilliseconds = 60_000
    stateFormat = MachineStateFormat.current
    isIncoming = false
    waitsIfAbsent = false
    remoteSocket = "/run/baton/remote.sock"
    linkTimeoutMilliseconds = 10_000
    trustsModelRoot = true
    policy = SEVPolicyBits()
    offersMigration = true
    guestAgrees = true
  }
}
