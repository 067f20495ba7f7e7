package import SEVABI

/// The commands that receive a guest from another machine.
///
/// The firmware does not verify whose the sender's Diffie-Hellman key is: whoever knows this platform's key
/// can make a guest here.
extension Firmware {
  /// RECEIVE_START: makes a guest context with the transport keys of a session, and a memory key of its
  /// own.
  ///
  /// - Parameters:
  ///   - sharing: 0, or the handle of the guest whose key the new one shares.
  ///   - session: The sender's Diffie-Hellman certificate, and what its SEND_START answered.
  package mutating func receiveStart(
    policy: GuestPolicy, sharing: UInt32, session: LaunchSession, random: inout any RandomSource
  ) throws(FirmwareStatus) -> UInt32 {
    try admit(.receiveStart)
    let keys = try open(session, policy: policy)
    let shared = try sharedMemory(with: sharing, policy: policy)
    try checkRoom(policy: policy)
    let memory = shared ?? MemoryCipher(random: &random)
    return try add(
      Guest(
        policy: policy, state: .receiving, memory: memory, digest: .absent, transport: Transport(keys)))
  }

  /// RECEIVE_UPDATE_DATA and RECEIVE_UPDATE_VMSA: opens one packet.
  ///
  /// - Returns: What the guest is to see at the address. Nothing of a packet that is not authentic gets
  ///   out.
  package mutating func receiveUpdate(
    _ handle: UInt32, _ kind: PacketKind, header: [UInt8], transport: [UInt8], guestAddress: UInt64,
    guestByteCount: UInt32
  ) throws(FirmwareStatus) -> [UInt8] {
    try admit(kind == .data ? .receiveUpdateData : .receiveUpdateVMSA)
    let guest = try guest(handle)
    guard guest.state == .receiving, let cipher = guest.transport?.cipher else {
      throw .invalidGuestState
    }
    try check(kind, of: guest)
    guard isPacketLength(guestByteCount), transport.count == guestByteCount,
      header.count >= PacketHeader.byteCount
    else { throw .invalidLength }
    guard guestAddress.isAligned else { throw .invalidAddress }
    guard !PacketHeader.isCompressed(header) else { throw .unsupported }
    let isAuthentic = cipher.isAuthentic(
      header: header, transport: transport, as: kind.context, guestByteCount: guestByteCount)
    guard isAuthentic else { throw .badMeasurement }
    return try cipher.decrypt(header: header, transport: transport)
  }

  /// RECEIVE_FINISH: the guest may run; its transport keys are gone.
  package mutating func receiveFinish(_ handle: UInt32) throws(FirmwareStatus) {
    try admit(.receiveFinish)
    let guest = try guest(handle)
    guard guest.state == .receiving else { throw .invalidGuestState }
    completeActivation(of: guest)
    enter(.running, handle)
  }
}
