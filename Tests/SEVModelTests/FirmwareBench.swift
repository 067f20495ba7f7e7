import Crypto
import SEVABI
import SEVModel

/// A firmware with one guest that a test brings where it wants it, and a peer whose keys the test knows.
struct FirmwareBench {
  static let encryptedStateASIDs: UInt32 = 4
  static let handle: UInt32 = 1

  var firmware: Firmware
  var random: any RandomSource = ScriptedRandom()
  /// Whoever is at the other end of a session: the guest's owner, or another machine.
  let peer = SessionOwner()
  var policy: GuestPolicy = .encryptedState

  init(policy: GuestPolicy = .encryptedState, asids: UInt32 = 8) {
    firmware = Firmware(
      version: FirmwareVersion(major: 1, minor: 55, build: 21),
      encryptedStateASIDCount: Self.encryptedStateASIDs, asidCount: asids,
      identity: PlatformIdentity(key: peer.platformKey))
    self.policy = policy
  }

  /// The lowest ASID of the policy's kind.
  var asid: UInt32 { policy.contains(.encryptedState) ? 1 : Self.encryptedStateASIDs + 1 }

  mutating func initialize() throws {
    try firmware.initialize()
    firmware.writeBackCaches()
    try firmware.flushDataFabric()
  }

  /// A guest of handle 1 in a state, bound to an ASID; none for ``GuestState/uninitialized``.
  mutating func bring(to state: GuestState) throws {
    try initialize()
    switch state {
    case .uninitialized: break
    case .launching: try launch()
    case .measured:
      try launch()
      try measure()
    case .running:
      try launch()
      try measure()
      try firmware.launchFinish(Self.handle)
    case .sending:
      try run()
      try startSending()
    case .receiving: try receive()
    case .sent:
      try run()
      try startSending()
      try firmware.sendFinish(Self.handle)
    }
  }

  mutating func launch() throws {
    let handle = try firmware.launchStart(
      policy: policy, sharing: 0, session: try session(), random: &random)
    try firmware.activate(handle, asid: asid)
  }

  mutating func measure() throws {
    _ = try firmware.launchMeasure(Self.handle, room: 48, random: &random)
  }

  private mutating func run() throws {
    try launch()
    try measure()
    try firmware.launchFinish(Self.handle)
  }

  mutating func receive() throws {
    let handle = try firmware.receiveStart(
      policy: policy, sharing: 0, session: try session(), random: &random)
    try firmware.activate(handle, asid: asid)
  }

  /// A session that the peer made for this platform.
  func session(policy: GuestPolicy? = nil) throws -> Firmware.LaunchSession {
    Firmware.LaunchSession(
      certificate: peer.certificate, session: try peer.session(policy: policy ?? self.policy))
  }

  /// The peer as the machine that is to receive the guest; it has no chain to show.
  var receiver: Firmware.Receiver {
    Firmware.Receiver(certificate: peer.certificate, platformCertificates: [], amdCertificates: [])
  }

  @discardableResult
  mutating func startSending() throws(FirmwareStatus) -> [UInt8] {
    try firmware.sendStart(Self.handle, receiver: receiver, room: 128, random: &random).session
  }

  /// Packets with the keys of the peer's own sessions.
  var peerCipher: PacketCipher {
    var secret = peer.encryptionKey + peer.integrityKey
    return PacketCipher(TransportKeys(takingFrom: &secret))
  }

  /// What a call threw.
  mutating func status(_ call: (inout FirmwareBench) throws -> Void) -> FirmwareStatus? {
    do {
      try call(&self)
      return nil
    } catch {
      return error as? FirmwareStatus
    }
  }
}

extension FirmwareCommand {
  /// The guest states in which the command is for, written down apart from the model; nothing for commands
  /// that are not for one guest.
  var guestStates: Set<GuestState>? {
    switch self {
    case .initialize, .shutdown, .platformReset, .platformStatus, .generatePEK, .certificateSigningRequest,
      .importPEK, .exportPDH, .generatePDH, .flushDataFabric, .getID, .launchStart, .receiveStart:
      nil
    case .decommission, .deactivate, .debugDecrypt, .debugEncrypt:
      [.launching, .measured, .running, .sending, .receiving, .sent]
    case .guestStatus: Set(GuestState.allCases)
    case .activate: [.launching, .measured, .running, .sending, .receiving]
    case .launchUpdateData, .launchUpdateVMSA, .launchMeasure: [.launching]
    case .launchSecret, .launchFinish: [.measured]
    case .attestation: [.measured, .running, .sending, .sent]
    case .sendStart: [.running]
    case .sendUpdateData, .sendUpdateVMSA, .sendFinish, .sendCancel: [.sending]
    case .receiveUpdateData, .receiveUpdateVMSA, .receiveFinish: [.receiving]
    }
  }

  /// The state that the command leaves the guest in, if it is another one.
  var stateAfterwards: GuestState? {
    switch self {
    case .launchMeasure: .measured
    case .launchFinish, .sendCancel, .receiveFinish: .running
    case .sendStart: .sending
    case .sendFinish: .sent
    case .decommission: .uninitialized
    case .initialize, .shutdown, .platformReset, .platformStatus, .generatePEK, .certificateSigningRequest,
      .importPEK, .exportPDH, .generatePDH, .flushDataFabric, .getID, .launchStart, .receiveStart,
      .deactivate,
      .debugDecrypt, .debugEncrypt, .guestStatus, .activate, .launchUpdateData, .launchUpdateVMSA,
      .launchSecret, .attestation, .sendUpdateData, .sendUpdateVMSA, .receiveUpdateData, .receiveUpdateVMSA:
      nil
    }
  }

  /// Issues the command for the bench's guest, with all its other arguments right.
  func issue(on bench: inout FirmwareBench) throws {
    let handle = FirmwareBench.handle
    switch self {
    case .initialize: try bench.firmware.initialize()
    case .shutdown: try bench.firmware.shutdown()
    case .platformReset: try bench.firmware.resetPlatform()
    case .platformStatus: _ = try bench.firmware.platformStatus()
    case .generatePEK: try bench.firmware.generatePEK()
    case .certificateSigningRequest: _ = try bench.firmware.certificateSigningRequest(room: 2084)
    case .importPEK: try bench.firmware.importPEK([], oca: [])
    case .exportPDH: _ = try bench.firmware.exportPDH(room: 2084, chainRoom: 6252)
    case .generatePDH: try bench.firmware.generatePDH()
    case .flushDataFabric:
      bench.firmware.writeBackCaches()
      try bench.firmware.flushDataFabric()
    case .getID: _ = try bench.firmware.platformIdentifier(room: 128)
    case .decommission:
      // Only a guest without an ASID is forgotten.
      try? bench.firmware.deactivate(handle)
      try bench.firmware.decommission(handle)
    case .activate:
      try? bench.firmware.deactivate(handle)
      try bench.firmware.activate(handle, asid: bench.asid + 1)
    case .deactivate: try bench.firmware.deactivate(handle)
    case .guestStatus: _ = try bench.firmware.guestStatus(handle)
    case .launchStart:
      _ = try bench.firmware.launchStart(
        policy: bench.policy, sharing: 0, session: nil, random: &bench.random)
    case .receiveStart:
      _ = try bench.firmware.receiveStart(
        policy: bench.policy, sharing: 0, session: try bench.session(), random: &bench.random)
    case .debugDecrypt, .debugEncrypt: try bench.firmware.checkDebugging(handle)
    case .launchUpdateData:
      try bench.firmware.launchUpdateData(
        handle, address: 0, plaintext: [UInt8](repeating: 1, count: 16)[...])
    case .launchUpdateVMSA:
      _ = try bench.firmware.launchUpdateVMSA(
        handle, address: 0, page: [UInt8](repeating: 1, count: 4096))
    case .launchMeasure: try bench.measure()
    case .launchSecret: try bench.secret(measurement: try bench.expectedMeasurement())
    case .launchFinish: try bench.firmware.launchFinish(handle)
    case .attestation:
      _ = try bench.firmware.attest(handle, nonce: [UInt8](repeating: 1, count: 16), room: 208)
    case .sendStart: try bench.startSending()
    case .sendUpdateData: try bench.sendPacket(.data, [UInt8](repeating: 1, count: 16))
    case .sendUpdateVMSA: try bench.sendPacket(.registers, try FirmwareBench.registers())
    case .sendFinish: try bench.firmware.sendFinish(handle)
    case .sendCancel: try bench.firmware.sendCancel(handle)
    case .receiveUpdateData: try bench.receivePacket(.data, context: .data)
    case .receiveUpdateVMSA: try bench.receivePacket(.registers, context: .registers)
    case .receiveFinish: try bench.firmware.receiveFinish(handle)
    }
  }
}

extension FirmwareBench {
  /// A page of registers as a firmware has set it up.
  static func registers() throws -> [UInt8] {
    var other = FirmwareBench()
    try other.bring(to: .launching)
    return try other.firmware.launchUpdateVMSA(
      handle, address: 0, page: (0..<4096).map { UInt8(truncatingIfNeeded: $0) })
  }

  /// What LAUNCH_MEASURE of a guest into which nothing was loaded answered with the bench's random numbers.
  func expectedMeasurement() throws -> [UInt8] {
    var twin = self
    twin.firmware = Firmware(
      version: firmware.version, encryptedStateASIDCount: Self.encryptedStateASIDs, asidCount: 8,
      identity: PlatformIdentity(key: peer.platformKey))
    twin.random = ScriptedRandom()
    try twin.initialize()
    try twin.launch()
    return Array(try twin.firmware.launchMeasure(Self.handle, room: 48, random: &twin.random)[..<32])
  }

  /// LAUNCH_SECRET of 64 bytes from the peer.
  @discardableResult
  mutating func secret(
    measurement: [UInt8], guestAddress: UInt64 = 0, guestByteCount: UInt32 = 64,
    change: (inout [UInt8], inout [UInt8]) -> Void = { _, _ in }
  ) throws -> [UInt8] {
    var (header, transport) = try peerCipher.seal(
      [UInt8](repeating: 7, count: 64), as: .secret, vector: [UInt8](repeating: 9, count: 16),
      measurement: measurement)
    change(&header, &transport)
    return try firmware.launchSecret(
      Self.handle, header: header, transport: transport, guestAddress: guestAddress,
      guestByteCount: guestByteCount)
  }

  @discardableResult
  mutating func sendPacket(
    _ kind: Firmware.PacketKind, _ plaintext: [UInt8], address: UInt64 = 0, headerRoom: UInt32 = 52,
    transportRoom: UInt32? = nil
  ) throws(FirmwareStatus) -> (header: [UInt8], transport: [UInt8]) {
    try firmware.sendUpdate(
      Self.handle, kind, guestAddress: address, plaintext: plaintext, headerRoom: headerRoom,
      transportRoom: transportRoom ?? UInt32(plaintext.count), random: &random)
  }

  /// RECEIVE_UPDATE of 64 bytes from the peer.
  @discardableResult
  mutating func receivePacket(
    _ kind: Firmware.PacketKind, context: PacketContext, address: UInt64 = 0, guestByteCount: UInt32 = 64,
    change: (inout [UInt8], inout [UInt8]) -> Void = { _, _ in }
  ) throws -> [UInt8] {
    var (header, transport) = try peerCipher.seal(
      [UInt8](repeating: 7, count: 64), as: context, vector: [UInt8](repeating: 9, count: 16))
    change(&header, &transport)
    return try firmware.receiveUpdate(
      Self.handle, kind, header: header, transport: transport, guestAddress: address,
      guestByteCount: guestByteCount)
  }
}
