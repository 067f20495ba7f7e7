public import LinuxOS
public import SEVABI

/// The commands of a launch, and questions about a guest.
extension SEVSession {
  /// INIT: makes a plain VM a SEV guest with an address-space identifier of its own.
  ///
  /// - Throws: EBUSY if none is free, ENOTTY if SEV is off.
  public mutating func initialize(_ machine: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.initialize, on: machine)
  }

  /// LAUNCH_START: makes the guest's key.
  ///
  /// - Parameter firmware: The number of the open firmware device, which the VM keeps.
  /// - Returns: The firmware's handle of the guest.
  public mutating func launchStart(
    _ machine: borrowing OwnedDescriptor, policy: GuestPolicy, firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> UInt32 {
    var parameters = LaunchStartParameters(policy: policy.rawValue)
    try issue(.launchStart, &parameters, on: machine, firmware: firmware.number)
    return parameters.handle
  }

  /// LAUNCH_UPDATE_DATA: measures and encrypts memory of this process in place.
  ///
  /// - Parameters:
  ///   - address: The user address, a multiple of 16.
  ///   - byteCount: A multiple of 16.
  public mutating func launchUpdateData(
    _ machine: borrowing OwnedDescriptor, address: UInt64, byteCount: UInt32
  ) throws(SEVError) {
    var parameters = LaunchUpdateDataParameters(address: address, length: byteCount)
    try issue(.launchUpdateData, &parameters, on: machine)
  }

  /// LAUNCH_MEASURE: the measurement of what was launched, 32 bytes, and the firmware's nonce, 16 bytes.
  public mutating func launchMeasure(
    _ machine: borrowing OwnedDescriptor
  ) throws(SEVError) -> [UInt8] {
    var measurement = [UInt8](repeating: 0, count: LaunchMeasureParameters.measurementByteCount)
    unsafe try measurement.withUnsafeMutableBufferPointer { buffer throws(SEVError) in
      // SAFETY: the address is used only while the buffer is pinned by this closure.
      var parameters = LaunchMeasureParameters(
        address: UInt64(UInt(bitPattern: buffer.baseAddress)), length: UInt32(buffer.count))
      try issue(.launchMeasure, &parameters, on: machine)
    }
    return measurement
  }

  /// LAUNCH_FINISH: the guest may run.
  public mutating func launchFinish(_ machine: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.launchFinish, on: machine)
  }

  /// GUEST_STATUS: handle, policy and state as the firmware has them.
  public mutating func guestStatus(
    _ machine: borrowing OwnedDescriptor
  ) throws(SEVError) -> GuestStatusParameters {
    var parameters = GuestStatusParameters()
    try issue(.guestStatus, &parameters, on: machine)
    return parameters
  }

  /// DBG_DECRYPT: guest memory at a user address of this process, as plaintext.
  ///
  /// - Throws: EIO with POLICY_FAILURE if the guest's policy forbids debugging.
  public mutating func debugDecrypt(
    _ machine: borrowing OwnedDescriptor, address: UInt64, byteCount: Int
  ) throws(SEVError) -> [UInt8] {
    var plaintext = [UInt8](repeating: 0, count: byteCount)
    unsafe try plaintext.withUnsafeMutableBufferPointer { buffer throws(SEVError) in
      // SAFETY: the address is used only while the buffer is pinned by this closure.
      var parameters = DebugParameters(
        sourceAddress: address, destinationAddress: UInt64(UInt(bitPattern: buffer.baseAddress)),
        length: UInt32(buffer.count))
      try issue(.debugDecrypt, &parameters, on: machine)
    }
    return plaintext
  }
}
