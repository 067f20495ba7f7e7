package import SEVABI
import SEVCertificates

/// The commands that send a guest to another machine.
extension Firmware {
  /// What a packet of SEND_UPDATE and RECEIVE_UPDATE carries.
  package enum PacketKind: CaseIterable, Sendable {
    case data
    /// A page of registers (VMSA).
    case registers

    var context: PacketContext {
      switch self {
      case .data: .data
      case .registers: .registers
      }
    }
  }

  /// The machine that is to receive a guest.
  package struct Receiver: Sendable {
    /// Its Diffie-Hellman certificate.
    package let certificate: [UInt8]
    /// PEK, OCA and CEK. Looked at only if the policy has DOMAIN or SEV.
    package let platformCertificates: [UInt8]
    /// ASK and ARK. Looked at only if the policy has SEV.
    package let amdCertificates: [UInt8]

    package init(certificate: [UInt8], platformCertificates: [UInt8], amdCertificates: [UInt8]) {
      self.certificate = certificate
      self.platformCertificates = platformCertificates
      self.amdCertificates = amdCertificates
    }
  }

  /// SEND_START: the guest gets fresh transport keys, wrapped for the receiver.
  ///
  /// - Parameter room: The length that the caller gives for the session, which must be exactly
  ///   ``Length/session``; that is checked before the guest's state.
  package mutating func sendStart(
    _ handle: UInt32, receiver: Receiver, room: UInt32, random: inout any RandomSource
  ) throws(FirmwareStatus) -> (policy: GuestPolicy, session: [UInt8]) {
    try admit(.sendStart)
    let guest = try guest(handle)
    guard room == Length.session else { throw .invalidLength }
    guard guest.state == .running else { throw .invalidGuestState }
    guard !guest.policy.contains(.noSending) else { throw .policyFailure }
    try verify(receiver, policy: guest.policy)
    guard receiver.certificate.count == SEVCertificate.byteCount else { throw .invalidLength }
    guard let peer = SEVCertificate(receiver.certificate)?.keyAgreementKey else {
      throw .invalidCertificate
    }
    var secret = random.bytes(TransportKeys.byteCount)
    let (blob, keys) = try SessionBlob.seal(
      &secret, sharedSecret: identity.sharedSecret(with: peer), nonce: random.bytes(16),
      vector: random.bytes(16), policy: guest.policy)
    modify(handle) { guest in
      guest.state = .sending
      guest.transport = Transport(keys)
    }
    return (guest.policy, blob)
  }

  /// What the policy wants to be known of the receiver.
  private mutating func verify(_ receiver: Receiver, policy: GuestPolicy) throws(FirmwareStatus) {
    if policy.contains(.genuinePlatform) {
      guard receiver.platformCertificates.count == CertificateChain.byteCount,
        receiver.certificate.count == SEVCertificate.byteCount,
        CertificateChain.amdByteCounts.contains(receiver.amdCertificates.count)
      else { throw .invalidLength }
      let chain = try CertificateChain(
        pdh: receiver.certificate, chain: receiver.platformCertificates)
      try chain.verifyGenuine(amd: receiver.amdCertificates)
      guard chain.pek.version >= policy.minimumAPIVersion else { throw .policyFailure }
    }
    if policy.contains(.sameDomain) {
      let own = try identity.credentials(version: version).oca
      try CertificateChain(pdh: receiver.certificate, chain: receiver.platformCertificates)
        .verifyOwner(own: own)
    }
  }

  /// SEND_UPDATE_DATA and SEND_UPDATE_VMSA: makes one packet of what the guest has at an address.
  ///
  /// - Parameters:
  ///   - plaintext: What the guest sees there.
  ///   - headerRoom: Below ``Length/packetHeader`` the status is INVALID_LENGTH, in any guest state.
  ///   - transportRoom: Bytes for the ciphertext, which are as many as the plaintext's.
  package mutating func sendUpdate(
    _ handle: UInt32, _ kind: PacketKind, guestAddress: UInt64, plaintext: [UInt8], headerRoom: UInt32,
    transportRoom: UInt32, random: inout any RandomSource
  ) throws(FirmwareStatus) -> (header: [UInt8], transport: [UInt8]) {
    try admit(kind == .data ? .sendUpdateData : .sendUpdateVMSA)
    guard headerRoom >= Length.packetHeader else { throw .invalidLength }
    let guest = try guest(handle)
    guard guest.state == .sending, let cipher = guest.transport?.cipher else { throw .invalidGuestState }
    try check(kind, of: guest)
    guard isPacketLength(UInt32(clamping: plaintext.count)), transportRoom >= plaintext.count else {
      throw .invalidLength
    }
    guard guestAddress.isAligned else { throw .invalidAddress }
    if kind == .registers {
      guard RegisterChecksum.isIntact(plaintext) else { throw .invalidParameter }
    }
    return try cipher.seal(plaintext, as: kind.context, vector: random.bytes(16))
  }

  /// What every packet needs of its guest, after the state.
  func check(_ kind: PacketKind, of guest: Guest) throws(FirmwareStatus) {
    if kind == .registers, !guest.policy.contains(.encryptedState) { throw .unsupported }
    guard guest.asid != nil else { throw .inactive }
  }

  /// SEND_FINISH: the guest is gone from here and never runs again; its transport keys are wiped.
  package mutating func sendFinish(_ handle: UInt32) throws(FirmwareStatus) {
    try admit(.sendFinish)
    guard try guest(handle).state == .sending else { throw .invalidGuestState }
    enter(.sent, handle)
  }

  /// SEND_CANCEL: the guest stays; its transport keys are wiped.
  package mutating func sendCancel(_ handle: UInt32) throws(FirmwareStatus) {
    try admit(.sendCancel)
    guard try guest(handle).state == .sending else { throw .invalidGuestState }
    enter(.running, handle)
  }
}
