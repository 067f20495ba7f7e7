import Crypto
import SEVABI

/// The launch and debugging commands.
extension Firmware {
  /// What the owner of a guest gives for a launch with a session.
  struct LaunchSession {
    let certificate: [UInt8]
    let session: [UInt8]
  }

  /// LAUNCH_START: makes a guest context and returns its handle.
  ///
  /// - Parameters:
  ///   - sharing: 0, or the handle of the guest whose key the new one shares.
  ///   - session: Carries the owner's keys; without it the firmware makes its own.
  mutating func launchStart(
    policy: GuestPolicy, sharing: UInt32, session: LaunchSession?, random: inout any RandomSource
  ) throws(FirmwareStatus) -> UInt32 {
    guard platform != .uninitialized else { throw .invalidPlatformState }
    var integrityKey: [UInt8]?
    if let session {
      integrityKey = try identity.openSession(
        session.session, certificate: session.certificate, policy: policy, version: version
      ).integrityKey
    }
    if sharing != 0 {
      let owner = try guest(sharing)
      guard owner.policy == policy, !policy.contains(.noKeySharing) else { throw .policyFailure }
    }
    guard guestCount < SEVLimit.handle else { throw .resourceLimit }
    if policy.contains(.encryptedState), !supportsEncryptedState { throw .unsupported }
    let key = integrityKey ?? random.bytes(16)
    return try add(Guest(policy: policy, state: .launching, integrityKey: SymmetricKey(data: key)))
  }

  /// LAUNCH_UPDATE_DATA: measures plaintext, in call order. `address` is only checked for alignment.
  mutating func launchUpdateData(
    _ handle: UInt32, address: UInt64, plaintext: ArraySlice<UInt8>
  ) throws(FirmwareStatus) {
    try requireWorking()
    var guest = try guest(handle)
    guard guest.state == .launching else { throw .invalidGuestState }
    guard guest.asid != nil else { throw .inactive }
    guard address % 16 == 0 else { throw .invalidAddress }
    guard !plaintext.isEmpty, plaintext.count % 16 == 0 else { throw .invalidLength }
    guest.launchDigest.update(data: plaintext)
    update(handle, guest)
  }

  /// LAUNCH_MEASURE: ends the measured part of the launch.
  ///
  /// - Parameter room: Bytes at the caller's buffer. Below 48 the status is INVALID_LENGTH, with which the
  ///   firmware also reports the length that it needs; any other failure reports none.
  mutating func launchMeasure(
    _ handle: UInt32, room: UInt32, random: inout any RandomSource
  ) throws(FirmwareStatus) -> [UInt8] {
    try requireWorking()
    var guest = try guest(handle)
    guard guest.state == .launching, let key = guest.integrityKey else { throw .invalidGuestState }
    guard room >= UInt32(LaunchMeasureParameters.measurementByteCount) else { throw .invalidLength }
    let nonce = random.bytes(16)
    let measurement = LaunchMeasurement(
      version: version, policy: guest.policy, digest: Array(guest.launchDigest.finalize()), nonce: nonce)
    guest.state = .measured
    update(handle, guest)
    return measurement.authenticate(key: key) + nonce
  }

  /// LAUNCH_FINISH: the guest may run; its transport keys are gone.
  mutating func launchFinish(_ handle: UInt32) throws(FirmwareStatus) {
    try requireWorking()
    var guest = try guest(handle)
    guard guest.state == .measured else { throw .invalidGuestState }
    guest.state = .running
    guest.integrityKey = nil
    completeActivation(of: guest)
    update(handle, guest)
  }

  /// What DBG_DECRYPT and DBG_ENCRYPT check. Their addresses and lengths are aligned by KVM.
  func checkDebugging(_ handle: UInt32) throws(FirmwareStatus) {
    try requireWorking()
    let guest = try guest(handle)
    guard !guest.policy.contains(.noDebugging) else { throw .policyFailure }
    guard guest.asid != nil else { throw .inactive }
  }
}
