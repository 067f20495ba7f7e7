import SEVABI

/// The guest state machine of the firmware, written a second time from the tables of its commands and their
/// order of checks, without any of the model's code. It knows no cryptography: keys are names, and bytes are
/// what ``NaiveContent`` says of them.
struct NaiveFirmware {
  /// A name for the pair of transport keys, TEK and TIK.
  enum Keys: Hashable {
    case owner
    case made(Int)
  }

  /// One end of a session. Two ends, in whichever order, agree on one secret.
  enum End: Hashable {
    case owner
    /// The platform with the key of this edition of its identity.
    case platform(Int)
  }

  /// An ASID as KVM gave it out. Numbers do not matter, only who has which and of what kind it is.
  struct ASID: Hashable {
    let serial: Int
    let isForEncryptedState: Bool
  }

  struct Guest {
    var policy: UInt32
    var state: Int
    var asid: ASID?
    var keys: Keys
    /// The number of the measurement that LAUNCH_MEASURE made.
    var measurement: Int?
  }

  struct Refusal: Error {
    let status: FirmwareStatus
    init(_ status: FirmwareStatus) { self.status = status }
  }

  /// States by their numbers in the firmware.
  enum State {
    static let launching = 1
    static let measured = 2
    static let running = 3
    static let sending = 4
    static let receiving = 5
    static let sent = 6
  }

  enum Policy {
    static let noDebugging: UInt32 = 1 << 0
    static let noKeySharing: UInt32 = 1 << 1
    static let encryptedState: UInt32 = 1 << 2
    static let noSending: UInt32 = 1 << 3
    static let domain: UInt32 = 1 << 4
    static let genuine: UInt32 = 1 << 5
    static let reserved: UInt32 = 0xFFC0
  }

  let supportsEncryptedState: Bool
  let major: UInt32
  let minor: UInt32
  var guests: [UInt32: Guest] = [:]
  var identity = NaiveIdentity()
  /// INIT was done, and no FACTORY_RESET since.
  var isInitialized = true
  private var keysMade = 0

  init(supportsEncryptedState: Bool, major: UInt32, minor: UInt32) {
    self.supportsEncryptedState = supportsEncryptedState
    self.major = major
    self.minor = minor
  }

  /// INIT or WORKING.
  private func requireInitialized() throws(Refusal) {
    guard state != 0 else { throw Refusal(.invalidPlatformState) }
  }

  /// WORKING.
  private func requireWorking() throws(Refusal) {
    guard !guests.isEmpty else { throw Refusal(.invalidPlatformState) }
  }

  private func guest(_ handle: UInt32) throws(Refusal) -> Guest {
    guard let guest = guests[handle] else { throw Refusal(.invalidGuest) }
    return guest
  }

  mutating func makeKeys() -> Keys {
    keysMade += 1
    return .made(keysMade)
  }

  // MARK: Starting

  /// LAUNCH_START. A certificate at address 0 is an absent one, and then the session is not looked at.
  mutating func launchStart(
    _ arguments: NaiveArguments, sessions: [Int: NaiveKernel.Session]
  ) throws(Refusal) -> UInt32 {
    try requireInitialized()
    var keys: Keys?
    if arguments.certificate.address != 0 { keys = try openSession(arguments, sessions: sessions) }
    return try makeGuest(arguments, state: State.launching, keys: keys)
  }

  /// RECEIVE_START.
  mutating func receiveStart(
    _ arguments: NaiveArguments, sessions: [Int: NaiveKernel.Session]
  ) throws(Refusal) -> UInt32 {
    try requireInitialized()
    let keys = try openSession(arguments, sessions: sessions)
    return try makeGuest(arguments, state: State.receiving, keys: keys)
  }

  private func openSession(
    _ arguments: NaiveArguments, sessions: [Int: NaiveKernel.Session]
  ) throws(Refusal) -> Keys {
    let session = arguments.session
    guard session.address != 0, session.length == 128 else { throw Refusal(.invalidLength) }
    guard arguments.certificate.length == 2084 else { throw Refusal(.invalidLength) }
    guard let peer = Self.end(arguments.certificate.content) else { throw Refusal(.invalidCertificate) }
    let ends: Set<End> = [.platform(identity.edition), peer]
    let keys: Keys
    let policy: UInt32
    switch session.content {
    case .ownerSession(let made, let edition) where ends == [.owner, .platform(edition)]:
      (keys, policy) = (.owner, made)
    case .sentSession(let number):
      guard let sent = sessions[number], sent.ends == ends else { throw Refusal(.badMeasurement) }
      (keys, policy) = (sent.keys, sent.policy)
    default:
      // The wrapping key comes out as another one.
      throw Refusal(.badMeasurement)
    }
    guard policy == arguments.policy else { throw Refusal(.badMeasurement) }
    let neededMajor = policy >> 16 & 0xFF
    let neededMinor = policy >> 24
    if neededMajor > major || neededMajor == major && neededMinor > minor { throw Refusal(.policyFailure) }
    guard policy & Policy.reserved == 0 else { throw Refusal(.policyFailure) }
    return keys
  }

  /// The key of a certificate, if it is one of a Diffie-Hellman key.
  static func end(_ content: NaiveContent) -> End? {
    switch content {
    case .ownerCertificate: .owner
    case .platformCertificate(let edition): .platform(edition)
    default: nil
    }
  }

  private mutating func makeGuest(
    _ arguments: NaiveArguments, state: Int, keys: Keys?
  ) throws(Refusal) -> UInt32 {
    if arguments.handle != 0 {
      let sharing = try guest(arguments.handle)
      guard sharing.policy == arguments.policy, arguments.policy & Policy.noKeySharing == 0 else {
        throw Refusal(.policyFailure)
      }
    }
    var handle: UInt32 = 1
    while guests[handle] != nil { handle += 1 }
    guard handle <= 1024 else { throw Refusal(.resourceLimit) }
    if arguments.policy & Policy.encryptedState != 0, !supportsEncryptedState {
      throw Refusal(.unsupported)
    }
    guests[handle] = Guest(policy: arguments.policy, state: state, asid: nil, keys: keys ?? makeKeys())
    return handle
  }

  // MARK: Activation

  mutating func activate(_ handle: UInt32, _ asid: ASID) throws(Refusal) {
    try requireWorking()
    let found = try guest(handle)
    if guests.values.contains(where: { $0.asid == asid }) { throw Refusal(.asidOwned) }
    guard found.asid == nil else { throw Refusal(.active) }
    guard found.state != State.sent else { throw Refusal(.invalidGuestState) }
    guard asid.isForEncryptedState == (found.policy & Policy.encryptedState != 0) else {
      throw Refusal(.invalidASID)
    }
    guests[handle]?.asid = asid
  }

  /// DEACTIVATE and DECOMMISSION, as KVM issues them together and ignores what they say.
  mutating func discard(_ handle: UInt32) {
    guests[handle] = nil
  }

  /// GUEST_STATUS, to which an unknown handle is a guest in state 0.
  func status(_ handle: UInt32) throws(Refusal) -> Guest? {
    try requireInitialized()
    return guests[handle]
  }

  // MARK: Launch

  mutating func launchUpdateData(
    _ handle: UInt32, address: UInt64, length: UInt64
  ) throws(Refusal) {
    try requireWorking()
    let found = try guest(handle)
    guard found.state == State.launching else { throw Refusal(.invalidGuestState) }
    guard found.asid != nil else { throw Refusal(.inactive) }
    guard address % 16 == 0 else { throw Refusal(.invalidAddress) }
    guard length != 0, length % 16 == 0 else { throw Refusal(.invalidLength) }
  }

  mutating func launchUpdateVMSA(_ handle: UInt32) throws(Refusal) {
    try requireWorking()
    let found = try guest(handle)
    guard found.state == State.launching else { throw Refusal(.invalidGuestState) }
    guard found.policy & Policy.encryptedState != 0 else { throw Refusal(.unsupported) }
    guard found.asid != nil else { throw Refusal(.inactive) }
  }

  mutating func launchMeasure(_ handle: UInt32, room: UInt32, number: Int) throws(Refusal) {
    try requireWorking()
    guard try guest(handle).state == State.launching else { throw Refusal(.invalidGuestState) }
    guard room >= 48 else { throw Refusal(.invalidLength) }
    guests[handle]?.state = State.measured
    guests[handle]?.measurement = number
  }

  func launchSecret(_ handle: UInt32, _ arguments: NaiveArguments) throws(Refusal) {
    try requireWorking()
    let found = try guest(handle)
    guard arguments.guest.address % 16 == 0 else { throw Refusal(.invalidAddress) }
    let length = arguments.guest.length
    guard arguments.header.length == 52, length != 0, length <= 0x5000, length % 16 == 0,
      length == arguments.transport.length
    else { throw Refusal(.invalidLength) }
    guard found.state == State.measured else { throw Refusal(.invalidGuestState) }
    guard found.asid != nil else { throw Refusal(.inactive) }
    guard case .secretHeader(let measurement, let flags) = arguments.header.content,
      arguments.transport.content == .secretData, found.keys == .owner,
      found.measurement == measurement
    else { throw Refusal(.badMeasurement) }
    guard flags & 1 == 0 else { throw Refusal(.unsupported) }
  }

  func attest(_ handle: UInt32, room: UInt32) throws(Refusal) {
    try requireWorking()
    let states = [State.measured, State.running, State.sending, State.sent]
    guard try states.contains(guest(handle).state) else { throw Refusal(.invalidGuestState) }
    guard room >= 208 else { throw Refusal(.invalidLength) }
  }

  /// LAUNCH_FINISH, SEND_FINISH, SEND_CANCEL, RECEIVE_FINISH: from one state to the next.
  mutating func change(_ handle: UInt32, from: Int, to next: Int) throws(Refusal) {
    try requireWorking()
    guard try guest(handle).state == from else { throw Refusal(.invalidGuestState) }
    guests[handle]?.state = next
  }

  func debug(_ handle: UInt32) throws(Refusal) {
    try requireWorking()
    let found = try guest(handle)
    guard found.policy & Policy.noDebugging == 0 else { throw Refusal(.policyFailure) }
    guard found.asid != nil else { throw Refusal(.inactive) }
  }

  // MARK: Sending and receiving

  mutating func sendStart(_ handle: UInt32, _ arguments: NaiveArguments) throws(Refusal) {
    try requireWorking()
    let found = try guest(handle)
    guard arguments.session.length == 128 else { throw Refusal(.invalidLength) }
    guard found.state == State.running else { throw Refusal(.invalidGuestState) }
    guard found.policy & Policy.noSending == 0 else { throw Refusal(.policyFailure) }
    try verify(arguments, policy: found.policy)
    guard arguments.certificate.length == 2084 else { throw Refusal(.invalidLength) }
    guard Self.end(arguments.certificate.content) != nil else { throw Refusal(.invalidCertificate) }
    let keys = makeKeys()
    guests[handle]?.keys = keys
    guests[handle]?.state = State.sending
  }

  func sendUpdate(_ handle: UInt32, _ arguments: NaiveArguments) throws(Refusal) {
    try requireWorking()
    guard arguments.header.length >= 52 else { throw Refusal(.invalidLength) }
    let found = try guest(handle)
    guard found.state == State.sending else { throw Refusal(.invalidGuestState) }
    guard found.asid != nil else { throw Refusal(.inactive) }
    let length = arguments.guest.length
    guard length != 0, length <= 0x5000, length % 16 == 0, arguments.transport.length >= length else {
      throw Refusal(.invalidLength)
    }
    guard arguments.guest.address % 16 == 0 else { throw Refusal(.invalidAddress) }
  }

  func receiveUpdate(
    _ handle: UInt32, _ arguments: NaiveArguments, packets: [Int: NaiveKernel.Packet]
  ) throws(Refusal) {
    try requireWorking()
    let found = try guest(handle)
    guard found.state == State.receiving else { throw Refusal(.invalidGuestState) }
    guard found.asid != nil else { throw Refusal(.inactive) }
    let length = arguments.transport.length
    guard length != 0, length <= 0x5000, arguments.guest.length == length, length % 16 == 0,
      arguments.header.length >= 52
    else { throw Refusal(.invalidLength) }
    guard arguments.guest.address % 16 == 0 else { throw Refusal(.invalidAddress) }
    if case .packetHeader(_, .compressed) = arguments.header.content { throw Refusal(.unsupported) }
    guard case .packetHeader(let number, .none) = arguments.header.content,
      arguments.transport.content == .packetData(number, .none), let packet = packets[number],
      packet.keys == found.keys, packet.length == length
    else { throw Refusal(.badMeasurement) }
  }
}
