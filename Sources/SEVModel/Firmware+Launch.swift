import Crypto
package import SEVABI
import SEVCertificates

/// The launch and debugging commands.
extension Firmware {
  /// What the owner of a guest gives for a launch with a session, and a sending machine for a receive.
  package struct LaunchSession {
    /// The Diffie-Hellman certificate of whoever wrapped the keys.
    package let certificate: [UInt8]
    package let session: [UInt8]

    package init(certificate: [UInt8], session: [UInt8]) {
      self.certificate = certificate
      self.session = session
    }
  }

  /// LAUNCH_START: makes a guest context and returns its handle.
  ///
  /// - Parameters:
  ///   - sharing: 0, or the handle of the guest whose key the new one shares.
  ///   - session: Carries the owner's keys; without it the firmware makes its own, which nobody learns.
  package mutating func launchStart(
    policy: GuestPolicy, sharing: UInt32, session: LaunchSession?, random: inout any RandomSource
  ) throws(FirmwareStatus) -> UInt32 {
    try admit(.launchStart)
    let keys: TransportKeys? =
      if let session { try open(session, policy: policy) } else { nil }
    let shared = try sharedMemory(with: sharing, policy: policy)
    try checkRoom(policy: policy)
    let memory = shared ?? MemoryCipher(random: &random)
    return try add(
      Guest(
        policy: policy, state: .launching, memory: memory,
        transport: Transport(keys ?? TransportKeys(random: &random))))
  }

  /// Unwraps a session's keys and verifies the policy, in the firmware's order of checks.
  func open(_ session: LaunchSession, policy: GuestPolicy) throws(FirmwareStatus) -> TransportKeys {
    guard session.session.count == SessionBlob.byteCount else { throw .invalidLength }
    guard session.certificate.count == SEVCertificate.byteCount else { throw .invalidLength }
    guard let peer = SEVCertificate(session.certificate)?.keyAgreementKey else {
      throw .invalidCertificate
    }
    let keys = try SessionBlob.open(session.session, sharedSecret: identity.sharedSecret(with: peer))
    try SessionBlob.verify(policy, in: session.session, keys: keys, version: version)
    return keys
  }

  /// The memory key of the guest that a new one is to share it with; nothing for handle 0.
  func sharedMemory(with handle: UInt32, policy: GuestPolicy) throws(FirmwareStatus) -> MemoryCipher? {
    guard handle != 0 else { return nil }
    let owner = try guest(handle)
    guard owner.policy == policy, !policy.contains(.noKeySharing) else { throw .policyFailure }
    return owner.memory
  }

  /// What the firmware checks last before it makes a context.
  func checkRoom(policy: GuestPolicy) throws(FirmwareStatus) {
    guard hasFreeHandle else { throw .resourceLimit }
    if policy.contains(.encryptedState), !supportsEncryptedState { throw .unsupported }
  }

  /// LAUNCH_UPDATE_DATA: measures plaintext, in call order. `address` is only checked for alignment.
  package mutating func launchUpdateData(
    _ handle: UInt32, address: UInt64, plaintext: ArraySlice<UInt8>
  ) throws(FirmwareStatus) {
    try admit(.launchUpdateData)
    let guest = try guest(handle)
    guard guest.state == .launching else { throw .invalidGuestState }
    guard guest.asid != nil else { throw .inactive }
    guard address.isAligned else { throw .invalidAddress }
    guard !plaintext.isEmpty, plaintext.count % Int(Self.blockByteCount) == 0 else { throw .invalidLength }
    measure(handle, plaintext)
  }

  /// LAUNCH_UPDATE_VMSA: measures a page of registers as it is given, and gives it back with its checksum
  /// set up, as the guest will have it.
  package mutating func launchUpdateVMSA(
    _ handle: UInt32, address: UInt64, page: [UInt8]
  ) throws(FirmwareStatus) -> [UInt8] {
    guard page.count == Length.registers else { throw .invalidLength }
    try admit(.launchUpdateVMSA)
    let guest = try guest(handle)
    guard guest.state == .launching else { throw .invalidGuestState }
    guard guest.policy.contains(.encryptedState) else { throw .unsupported }
    guard guest.asid != nil else { throw .inactive }
    guard address.isAligned else { throw .invalidAddress }
    measure(handle, page[...])
    return RegisterChecksum.sealed(page)
  }

  private mutating func measure(_ handle: UInt32, _ plaintext: ArraySlice<UInt8>) {
    modify(handle) { guest in
      guard case .open(var digest) = guest.digest else { return }
      // Taken out first, so that the context of the digest has one owner and is not copied.
      guest.digest = .closed([])
      digest.update(data: plaintext)
      guest.digest = .open(digest)
    }
  }

  /// LAUNCH_MEASURE: ends the measured part of the launch.
  ///
  /// - Parameter room: Bytes at the caller's buffer. Below ``Length/measurement`` the status is
  ///   INVALID_LENGTH.
  /// - Returns: The measurement and the nonce that went into it.
  package mutating func launchMeasure(
    _ handle: UInt32, room: UInt32, random: inout any RandomSource
  ) throws(FirmwareStatus) -> [UInt8] {
    try admit(.launchMeasure)
    let guest = try guest(handle)
    guard guest.state == .launching, let transport = guest.transport, case .open(let context) = guest.digest
    else { throw .invalidGuestState }
    guard room >= Length.measurement else { throw .invalidLength }
    let nonce = random.bytes(16)
    let digest = Array(context.finalize())
    let measurement = LaunchMeasurement(
      version: version, policy: guest.policy, digest: digest, nonce: nonce
    ).authenticate(key: transport.integrityKey)
    modify(handle) { guest in
      guest.state = .measured
      guest.digest = .closed(digest)
      guest.measurement = measurement
    }
    return measurement + nonce
  }

  /// LAUNCH_SECRET: opens a packet of the owner's, who has seen the measurement.
  ///
  /// - Returns: What to put at the guest's address.
  package mutating func launchSecret(
    _ handle: UInt32, header: [UInt8], transport: [UInt8], guestAddress: UInt64, guestByteCount: UInt32
  ) throws(FirmwareStatus) -> [UInt8] {
    try admit(.launchSecret)
    let guest = try guest(handle)
    guard guestAddress.isAligned else { throw .invalidAddress }
    guard header.count == PacketHeader.byteCount, isPacketLength(guestByteCount),
      transport.count == guestByteCount
    else { throw .invalidLength }
    guard guest.state == .measured, let cipher = guest.transport?.cipher else { throw .invalidGuestState }
    guard guest.asid != nil else { throw .inactive }
    let isAuthentic = cipher.isAuthentic(
      header: header, transport: transport, as: .secret, guestByteCount: guestByteCount,
      measurement: guest.measurement)
    guard isAuthentic else { throw .badMeasurement }
    guard !PacketHeader.isCompressed(header) else { throw .unsupported }
    return try cipher.decrypt(header: header, transport: transport)
  }

  /// LAUNCH_FINISH: the guest may run; its transport keys are gone.
  package mutating func launchFinish(_ handle: UInt32) throws(FirmwareStatus) {
    try admit(.launchFinish)
    let guest = try guest(handle)
    guard guest.state == .measured else { throw .invalidGuestState }
    completeActivation(of: guest)
    enter(.running, handle)
  }

  /// Moves a guest on to a state in which it has no transport keys.
  mutating func enter(_ state: GuestState, _ handle: UInt32) {
    modify(handle) { guest in
      guest.state = state
      guest.transport = nil
    }
  }

  /// What DBG_DECRYPT and DBG_ENCRYPT check. Their addresses and lengths are aligned by KVM.
  package mutating func checkDebugging(_ handle: UInt32) throws(FirmwareStatus) {
    try admit(.debugDecrypt)
    let guest = try guest(handle)
    guard !guest.policy.contains(.noDebugging) else { throw .policyFailure }
    guard guest.asid != nil else { throw .inactive }
  }

  /// Whether a packet may carry so many bytes.
  func isPacketLength(_ byteCount: UInt32) -> Bool {
    byteCount != 0 && byteCount <= Length.largestPacket && byteCount % Self.blockByteCount == 0
  }
}

extension UInt64 {
  /// Whether this address is one of a block that the memory cipher encrypts.
  var isAligned: Bool { self % UInt64(Firmware.blockByteCount) == 0 }
}
