import Crypto
import SEVABI

/// The part of the SEV firmware (the AMD Secure Processor) that a launched guest needs.
///
/// Every command throws the status with which the firmware would answer; the order of checks is that of the
/// firmware's published source, which is one valid choice among generations.
struct Firmware: Sendable {
  enum PlatformState: Sendable { case uninitialized, initialized, working }

  /// What an ASID is used for, as the firmware sees it.
  enum ASIDState: Sendable {
    case clean
    /// Bound to a guest that is still being launched.
    case allocated
    /// Bound to a guest that runs.
    case inUse
    /// Was in use; caches must be written back and the data fabric flushed.
    case dirty
  }

  /// One guest context.
  struct Guest: Sendable {
    let policy: GuestPolicy
    var state: GuestState
    var asid: UInt32?
    var launchDigest = SHA256()
    /// TIK, which authenticates the launch measurement. Gone when the launch is finished.
    var integrityKey: SymmetricKey?
  }

  let version: FirmwareVersion
  let smallestWithoutEncryptedState: UInt32
  let maximumASID: UInt32
  private(set) var platform = PlatformState.uninitialized
  private var guests: [UInt32: Guest] = [:]
  private var asidStates: [UInt32: ASIDState] = [:]
  let identity: PlatformIdentity

  init(version: FirmwareVersion, asids: ASIDPool, identity: PlatformIdentity) {
    self.version = version
    smallestWithoutEncryptedState = asids.smallestWithoutEncryptedState
    maximumASID = asids.maximum
    self.identity = identity
  }

  var supportsEncryptedState: Bool { smallestWithoutEncryptedState > 1 }

  /// INIT: every ASID is dirty afterwards.
  mutating func initializePlatform() {
    platform = .initialized
    for asid in 1..<(maximumASID + 1) { asidStates[asid] = .dirty }
  }

  /// WBINVD on all cores and DF_FLUSH: dirty ASIDs are clean.
  mutating func flush() {
    for (asid, state) in asidStates where state == .dirty { asidStates[asid] = .clean }
  }

  // MARK: Guests

  /// The guest of a handle.
  func guest(_ handle: UInt32) throws(FirmwareStatus) -> Guest {
    guard let guest = guests[handle] else { throw .invalidGuest }
    return guest
  }

  mutating func update(_ handle: UInt32, _ guest: Guest) {
    guests[handle] = guest
  }

  /// Files a new guest under the lowest free handle.
  mutating func add(_ guest: Guest) throws(FirmwareStatus) -> UInt32 {
    guard let handle = (1...SEVLimit.handle).first(where: { guests[$0] == nil }) else {
      throw .resourceLimit
    }
    guests[handle] = guest
    platform = .working
    return handle
  }

  func requireWorking() throws(FirmwareStatus) {
    guard platform == .working else { throw .invalidPlatformState }
  }

  /// ACTIVATE: binds a guest to an ASID.
  mutating func activate(_ handle: UInt32, asid: UInt32) throws(FirmwareStatus) {
    try requireWorking()
    var guest = try guest(handle)
    guard asid != 0, asid <= maximumASID, let state = asidStates[asid] else { throw .invalidASID }
    switch state {
    case .inUse, .allocated: throw .asidOwned
    case .clean, .dirty: break
    }
    guard guest.asid == nil else { throw .active }
    guard guest.state != .sent else { throw .invalidGuestState }
    guard state == .clean else { throw .dfFlushRequired }
    let isEncryptedStateASID = asid < smallestWithoutEncryptedState
    guard isEncryptedStateASID == guest.policy.contains(.encryptedState) else { throw .invalidASID }
    asidStates[asid] = guest.state == .running ? .inUse : .allocated
    guest.asid = asid
    guests[handle] = guest
  }

  /// DEACTIVATE: unbinds a guest from its ASID.
  mutating func deactivate(_ handle: UInt32) throws(FirmwareStatus) {
    try requireWorking()
    var guest = try guest(handle)
    guard let asid = guest.asid else { throw .inactive }
    asidStates[asid] = asidStates[asid] == .allocated ? .clean : .dirty
    guest.asid = nil
    guests[handle] = guest
  }

  /// DECOMMISSION: the guest's context and key are gone.
  mutating func decommission(_ handle: UInt32) throws(FirmwareStatus) {
    try requireWorking()
    guard try guest(handle).asid == nil else { throw .active }
    guests[handle] = nil
    if guests.isEmpty { platform = .initialized }
  }

  /// LAUNCH_FINISH and RECEIVE_FINISH end a pending activation.
  mutating func completeActivation(of guest: Guest) {
    if let asid = guest.asid { asidStates[asid] = .inUse }
  }

  /// GUEST_STATUS: an unknown handle is no failure but state 0.
  func guestStatus(_ handle: UInt32) throws(FirmwareStatus) -> (policy: GuestPolicy, state: GuestState) {
    guard platform != .uninitialized else { throw .invalidPlatformState }
    guard let guest = guests[handle] else { return ([], .uninitialized) }
    return (guest.policy, guest.state)
  }

  /// How many guests have a context.
  var guestCount: Int { guests.count }
}
