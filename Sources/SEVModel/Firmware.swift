import Crypto
package import SEVABI

/// The SEV firmware (the AMD Secure Processor) as a value.
///
/// Every command throws the status with which the firmware would answer; the order of checks is that of the
/// firmware's published source, which is one valid choice among generations.
package struct Firmware: Sendable {
  package enum PlatformState: UInt8, CaseIterable, Sendable {
    case uninitialized = 0
    /// No guest has a context.
    case initialized = 1
    case working = 2
  }

  /// What an ASID is used for, as the firmware sees it.
  enum ASIDState: Sendable {
    case clean
    /// Bound to a guest that is still being launched or received.
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
    /// Encrypts the guest's memory, and that of guests that share its key.
    let memory: MemoryCipher
    var digest = LaunchDigest.open(SHA256())
    /// What LAUNCH_MEASURE answered, 32 bytes; secrets are authenticated together with it.
    var measurement: [UInt8] = []
    /// Gone when the guest runs, was sent, or stays after all.
    var transport: Transport?
  }

  /// What a guest is measured by.
  enum LaunchDigest: Sendable {
    case open(SHA256)
    case closed([UInt8])
    /// A received guest was not launched here; its report has zeros.
    static var absent: LaunchDigest { .closed([UInt8](repeating: 0, count: 32)) }
  }

  /// The keys under which a guest's owner or another platform exchanges data with this one.
  struct Transport: Sendable {
    let integrityKey: SymmetricKey
    let cipher: PacketCipher

    init(_ keys: TransportKeys) {
      integrityKey = keys.integrityKey
      cipher = PacketCipher(keys)
    }
  }

  package let version: FirmwareVersion
  private let smallestWithoutEncryptedState: UInt32
  private let maximumASID: UInt32
  package private(set) var platform = PlatformState.uninitialized
  private var guests: [UInt32: Guest] = [:]
  private var asidStates: [UInt32: ASIDState] = [:]
  /// Every core has written its caches back since an ASID was last given up.
  private var cachesAreWrittenBack = false
  var identity: PlatformIdentity
  /// By which every command comes.
  var mailbox = Mailbox(.healthy)

  /// - Parameter encryptedStateASIDCount: SEV-ES guests have ASIDs 1 to this number, other guests the
  ///   `asidCount` numbers above.
  package init(
    version: FirmwareVersion, encryptedStateASIDCount: UInt32, asidCount: UInt32,
    identity: PlatformIdentity
  ) {
    self.version = version
    smallestWithoutEncryptedState = encryptedStateASIDCount + 1
    maximumASID = encryptedStateASIDCount + asidCount
    self.identity = identity
  }

  init(version: FirmwareVersion, asids: ASIDPool, identity: PlatformIdentity) {
    self.init(
      version: version, encryptedStateASIDCount: asids.encryptedStateCount, asidCount: asids.count,
      identity: identity)
  }

  package var supportsEncryptedState: Bool { smallestWithoutEncryptedState > 1 }
  /// How many guests have a context.
  package var guestCount: Int { guests.count }

  // MARK: Platform

  /// Refuses a command in a platform state that it is not for, or because the firmware does not answer.
  mutating func admit(_ command: FirmwareCommand) throws(FirmwareStatus) {
    try mailbox.post()
    guard command.platformStates.contains(platform) else { throw .invalidPlatformState }
  }

  /// INIT: every ASID is dirty afterwards.
  package mutating func initialize() throws(FirmwareStatus) {
    try admit(.initialize)
    platform = .initialized
    cachesAreWrittenBack = false
    asidStates = [:]
    for asid in 1..<(maximumASID + 1) { asidStates[asid] = .dirty }
  }

  /// SHUTDOWN: all guests are lost; the platform's identity stays.
  package mutating func shutdown() throws(FirmwareStatus) {
    try admit(.shutdown)
    guests = [:]
    asidStates = [:]
    platform = .uninitialized
  }

  /// WBINVD on every core, which is no command of the firmware's.
  package mutating func writeBackCaches() {
    cachesAreWrittenBack = true
  }

  /// DF_FLUSH: dirty ASIDs are clean.
  package mutating func flushDataFabric() throws(FirmwareStatus) {
    try admit(.flushDataFabric)
    guard cachesAreWrittenBack else { throw .wbinvdRequired }
    for (asid, state) in asidStates where state == .dirty { asidStates[asid] = .clean }
  }

  // MARK: Guests

  /// The guest of a handle.
  func guest(_ handle: UInt32) throws(FirmwareStatus) -> Guest {
    guard let guest = guests[handle] else { throw .invalidGuest }
    return guest
  }

  /// Changes a guest where it is stored.
  mutating func modify(_ handle: UInt32, _ change: (inout Guest) -> Void) {
    guard let index = guests.index(forKey: handle) else { return }
    change(&guests.values[index])
  }

  /// Whether another guest could have a handle.
  var hasFreeHandle: Bool { guestCount < SEVLimit.handle }

  /// Files a new guest under the lowest free handle.
  mutating func add(_ guest: Guest) throws(FirmwareStatus) -> UInt32 {
    guard let handle = (1...SEVLimit.handle).first(where: { guests[$0] == nil }) else {
      throw .resourceLimit
    }
    guests[handle] = guest
    platform = .working
    return handle
  }

  /// The guest that is bound to an ASID.
  func handle(boundTo asid: UInt32) -> UInt32? {
    guests.first { $0.value.asid == asid }?.key
  }

  /// ACTIVATE: binds a guest to an ASID.
  package mutating func activate(_ handle: UInt32, asid: UInt32) throws(FirmwareStatus) {
    try admit(.activate)
    let guest = try guest(handle)
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
    modify(handle) { $0.asid = asid }
  }

  /// DEACTIVATE: unbinds a guest from its ASID.
  package mutating func deactivate(_ handle: UInt32) throws(FirmwareStatus) {
    try admit(.deactivate)
    guard let asid = try guest(handle).asid else { throw .inactive }
    asidStates[asid] = asidStates[asid] == .allocated ? .clean : .dirty
    cachesAreWrittenBack = false
    modify(handle) { $0.asid = nil }
  }

  /// DECOMMISSION: the guest's context and key are gone.
  package mutating func decommission(_ handle: UInt32) throws(FirmwareStatus) {
    try admit(.decommission)
    guard try guest(handle).asid == nil else { throw .active }
    guests[handle] = nil
    if guests.isEmpty { platform = .initialized }
  }

  /// LAUNCH_FINISH and RECEIVE_FINISH end a pending activation.
  mutating func completeActivation(of guest: Guest) {
    if let asid = guest.asid { asidStates[asid] = .inUse }
  }

  /// GUEST_STATUS: an unknown handle is no failure but state 0. The ASID is 0 if none is bound.
  package mutating func guestStatus(
    _ handle: UInt32
  ) throws(FirmwareStatus) -> (policy: GuestPolicy, state: GuestState, asid: UInt32) {
    try admit(.guestStatus)
    guard let guest = guests[handle] else { return ([], .uninitialized, 0) }
    return (guest.policy, guest.state, guest.asid ?? 0)
  }
}
