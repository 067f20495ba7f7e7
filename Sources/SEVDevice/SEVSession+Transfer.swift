public import LinuxOS
public import SEVABI

/// What SEND_START gives for the receiving machine.
public struct SendSession: Hashable, Sendable {
  /// The guest's, as its owner set it.
  public var policy: GuestPolicy
  /// The transport keys, wrapped for the receiver's platform: 128 bytes.
  public var session: [UInt8]

  public static let sessionByteCount = 128
}

/// One piece of guest memory in transport: encrypted and authenticated, but bound to no address and no order,
/// which the transport must do.
public struct SendPacket: Hashable, Sendable {
  /// Flags, initialisation vector and MAC: 52 bytes.
  public var header: [UInt8]
  /// As many bytes as were sent of the guest.
  public var payload: [UInt8]

  public static let headerByteCount = 52
  /// Of a vCPU's encrypted registers (VMSA).
  public static let saveAreaByteCount: UInt32 = 4096

  public init(header: [UInt8], payload: [UInt8]) {
    self.header = header
    self.payload = payload
  }
}

/// The commands that take a guest to another machine.
///
/// On a VM that received its guest from a VM of this host they need the firmware device at number 0; see
/// ``openFirmware(at:)``.
extension SEVSession {
  /// SEND_START: makes transport keys for one receiving platform.
  ///
  /// - Parameters:
  ///   - diffieHellman: The receiver's Diffie-Hellman certificate (PDH), 2084 bytes.
  ///   - platformCertificates: The receiver's chain (PEK, OCA, CEK), 6252 bytes. KVM wants it even where the
  ///     guest's policy does not.
  ///   - amdCertificates: AMD's certificates (ASK, ARK) of the receiver's generation.
  /// - Throws: EIO with POLICY_FAILURE if the policy forbids sending, INVALID_CERTIFICATE or BAD_SIGNATURE if
  ///   the receiver cannot prove itself.
  public mutating func sendStart(
    _ machine: borrowing OwnedDescriptor, diffieHellman: [UInt8], platformCertificates: [UInt8],
    amdCertificates: [UInt8]
  ) throws(SEVError) -> SendSession {
    var session = [UInt8](repeating: 0, count: SendSession.sessionByteCount)
    var policy: UInt32 = 0
    try withAddress(writing: &session) { (sessionAddress) throws(SEVError) in
      try withAddress(of: diffieHellman) { (diffieHellmanAddress) throws(SEVError) in
        try withAddress(of: platformCertificates) { (platformAddress) throws(SEVError) in
          try withAddress(of: amdCertificates) { (amdAddress) throws(SEVError) in
            var parameters = SendStartParameters(
              diffieHellmanAddress: diffieHellmanAddress, diffieHellmanByteCount: UInt32(diffieHellman.count),
              platformCertificatesAddress: platformAddress,
              platformCertificatesByteCount: UInt32(platformCertificates.count),
              amdCertificatesAddress: amdAddress, amdCertificatesByteCount: UInt32(amdCertificates.count),
              sessionAddress: sessionAddress, sessionByteCount: UInt32(SendSession.sessionByteCount))
            try issue(.sendStart, &parameters, on: machine)
            policy = parameters.policy
          }
        }
      }
    }
    return SendSession(policy: GuestPolicy(rawValue: policy), session: session)
  }

  /// SEND_UPDATE_DATA: guest memory at a user address of this process, encrypted for the receiver.
  ///
  /// - Parameters:
  ///   - address: A multiple of 16.
  ///   - byteCount: A multiple of 16; the range must lie in one page.
  public mutating func sendUpdateData(
    _ machine: borrowing OwnedDescriptor, address: UInt64, byteCount: UInt32
  ) throws(SEVError) -> SendPacket {
    try sendUpdate(.sendUpdateData, address: address, byteCount: byteCount, on: machine)
  }

  /// SEND_UPDATE_VMSA: the encrypted registers of one vCPU of a SEV-ES guest. **No kernel implements it**: it is an
  /// extension of the model (`sevmodeld --firmware-vmsa`), and EINVAL everywhere else.
  ///
  /// - Parameter vcpu: The number that the vCPU was made with.
  public mutating func sendUpdateVMSA(
    _ machine: borrowing OwnedDescriptor, vcpu: UInt32
  ) throws(SEVError) -> SendPacket {
    try sendUpdate(
      .sendUpdateVMSA, address: UInt64(vcpu), byteCount: SendPacket.saveAreaByteCount, on: machine)
  }

  private mutating func sendUpdate(
    _ id: SEVCommandID, address: UInt64, byteCount: UInt32, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) -> SendPacket {
    var packet = SendPacket(
      header: [UInt8](repeating: 0, count: SendPacket.headerByteCount),
      payload: [UInt8](repeating: 0, count: Int(byteCount)))
    try withAddress(writing: &packet.header) { (headerAddress) throws(SEVError) in
      try withAddress(writing: &packet.payload) { (payloadAddress) throws(SEVError) in
        let parameters = PacketParameters(
          headerAddress: headerAddress, headerByteCount: UInt32(SendPacket.headerByteCount),
          guestAddress: address, guestByteCount: byteCount, transportAddress: payloadAddress,
          transportByteCount: byteCount)
        try issue(id, parameters, on: machine)
      }
    }
    return packet
  }

  /// SEND_FINISH: the guest is sent and never runs here again. The point of no return.
  public mutating func sendFinish(_ machine: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.sendFinish, on: machine)
  }

  /// SEND_CANCEL: the guest stays and may run again; what was sent is worth nothing.
  public mutating func sendCancel(_ machine: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.sendCancel, on: machine)
  }

  /// RECEIVE_START: makes a guest of an initialised VM for what is to come.
  ///
  /// - Parameters:
  ///   - diffieHellman: The sender's Diffie-Hellman certificate (PDH), 2084 bytes.
  ///   - session: What SEND_START gave.
  ///   - firmware: The open firmware device, whose number the VM keeps.
  /// - Returns: The firmware's handle of the guest.
  /// - Throws: EIO with BAD_MEASUREMENT if the session is not for this platform's current key or the policy is
  ///   not the sender's.
  public mutating func receiveStart(
    _ machine: borrowing OwnedDescriptor, policy: GuestPolicy, diffieHellman: [UInt8], session: [UInt8],
    firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> UInt32 {
    var handle: UInt32 = 0
    try withAddress(of: diffieHellman) { (diffieHellmanAddress) throws(SEVError) in
      try withAddress(of: session) { (sessionAddress) throws(SEVError) in
        var parameters = ReceiveStartParameters(
          policy: policy.rawValue, diffieHellmanAddress: diffieHellmanAddress,
          diffieHellmanByteCount: UInt32(diffieHellman.count), sessionAddress: sessionAddress,
          sessionByteCount: UInt32(session.count))
        try issue(.receiveStart, &parameters, on: machine, firmware: firmware.number)
        handle = parameters.handle
      }
    }
    return handle
  }

  /// RECEIVE_UPDATE_DATA: decrypts a packet into guest memory at a user address of this process.
  ///
  /// - Parameter address: A multiple of 16; the packet's bytes must lie in one page.
  /// - Throws: EIO with BAD_MEASUREMENT if the packet was changed: then nothing was written.
  public mutating func receiveUpdateData(
    _ machine: borrowing OwnedDescriptor, _ packet: SendPacket, address: UInt64
  ) throws(SEVError) {
    try issuePacket(
      .receiveUpdateData, header: packet.header, payload: packet.payload, address: address, on: machine)
  }

  /// RECEIVE_UPDATE_VMSA: the counterpart of ``sendUpdateVMSA(_:vcpu:)``, an extension as it is.
  public mutating func receiveUpdateVMSA(
    _ machine: borrowing OwnedDescriptor, _ packet: SendPacket, vcpu: UInt32
  ) throws(SEVError) {
    try issuePacket(
      .receiveUpdateVMSA, header: packet.header, payload: packet.payload, address: UInt64(vcpu), on: machine)
  }

  /// RECEIVE_FINISH: the guest may run.
  public mutating func receiveFinish(_ machine: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.receiveFinish, on: machine)
  }
}
