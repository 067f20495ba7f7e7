public import LinuxOS
public import SEVABI

/// The commands of a launch, and questions about a guest.
extension SEVSession {
  /// INIT or ES_INIT: makes a plain VM a SEV guest with an address-space identifier of its own.
  ///
  /// - Parameter encryptedState: Whether register state is encrypted too (SEV-ES). The VM needs its vCPUs
  ///   afterwards, before ``launchUpdateVMSA(_:)``.
  /// - Throws: EBUSY if no identifier is free, ENOTTY if SEV, or SEV-ES, is off, EINVAL if vCPUs were made.
  public mutating func initialize(
    _ machine: borrowing OwnedDescriptor, encryptedState: Bool = false
  ) throws(SEVError) {
    try issue(encryptedState ? .esInitialize : .initialize, on: machine)
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

  /// LAUNCH_START with the owner's session: the owner's Diffie-Hellman certificate, 2084 bytes, and the session
  /// blob that was made for this platform, 128 bytes.
  ///
  /// - Throws: EIO with BAD_MEASUREMENT if the session is not for this platform's current key.
  public mutating func launchStart(
    _ machine: borrowing OwnedDescriptor, policy: GuestPolicy, certificate: [UInt8], session: [UInt8],
    firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> UInt32 {
    var parameters = LaunchStartParameters(policy: policy.rawValue)
    try withAddress(of: certificate) { (certificateAddress) throws(SEVError) in
      try withAddress(of: session) { (sessionAddress) throws(SEVError) in
        parameters.certificateAddress = certificateAddress
        parameters.certificateByteCount = UInt32(certificate.count)
        parameters.sessionAddress = sessionAddress
        parameters.sessionByteCount = UInt32(session.count)
        try issue(.launchStart, &parameters, on: machine, firmware: firmware.number)
      }
    }
    return parameters.handle
  }

  /// LAUNCH_UPDATE_VMSA: measures and encrypts the state of every vCPU of a SEV-ES guest. From then on the VMM
  /// neither reads nor writes registers.
  public mutating func launchUpdateVMSA(_ machine: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.launchUpdateVMSA, on: machine)
  }

  /// LAUNCH_MEASURE: the measurement of what was launched, 32 bytes, and the firmware's nonce, 16 bytes.
  public mutating func launchMeasure(
    _ machine: borrowing OwnedDescriptor
  ) throws(SEVError) -> [UInt8] {
    var measurement = [UInt8](repeating: 0, count: LaunchMeasureParameters.measurementByteCount)
    try withAddress(writing: &measurement) { (address) throws(SEVError) in
      var parameters = LaunchMeasureParameters(
        address: address, length: UInt32(LaunchMeasureParameters.measurementByteCount))
      try issue(.launchMeasure, &parameters, on: machine)
    }
    return measurement
  }

  /// LAUNCH_SECRET: puts a secret that the owner encrypted for this guest into its memory.
  ///
  /// - Parameters:
  ///   - header: The packet's header, 52 bytes.
  ///   - secret: The encrypted secret, a multiple of 16 bytes.
  ///   - address: The user address of the place in guest memory, a multiple of 16; as many bytes as the secret
  ///     has must lie in one page.
  /// - Throws: EIO with BAD_MEASUREMENT if the packet is not for this guest.
  public mutating func launchSecret(
    _ machine: borrowing OwnedDescriptor, header: [UInt8], secret: [UInt8], address: UInt64
  ) throws(SEVError) {
    try issuePacket(.launchSecret, header: header, payload: secret, address: address, on: machine)
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
    try withAddress(writing: &plaintext) { (destination) throws(SEVError) in
      var parameters = DebugParameters(
        sourceAddress: address, destinationAddress: destination, length: UInt32(byteCount))
      try issue(.debugDecrypt, &parameters, on: machine)
    }
    return plaintext
  }

  /// DBG_ENCRYPT: writes plaintext to guest memory at a user address of this process.
  ///
  /// - Throws: EIO with POLICY_FAILURE if the guest's policy forbids debugging.
  public mutating func debugEncrypt(
    _ machine: borrowing OwnedDescriptor, plaintext: [UInt8], address: UInt64
  ) throws(SEVError) {
    try withAddress(of: plaintext) { (source) throws(SEVError) in
      var parameters = DebugParameters(
        sourceAddress: source, destinationAddress: address, length: UInt32(plaintext.count))
      try issue(.debugEncrypt, &parameters, on: machine)
    }
  }

  /// GET_ATTESTATION_REPORT: what was launched, signed by the platform, 208 bytes.
  ///
  /// - Parameter nonce: 16 bytes of the caller's choice.
  public mutating func attestationReport(
    _ machine: borrowing OwnedDescriptor, nonce: [UInt8]
  ) throws(SEVError) -> [UInt8] {
    precondition(nonce.count == 16, "the nonce has 16 bytes")
    var report = [UInt8](repeating: 0, count: AttestationReport.byteCount)
    try withAddress(writing: &report) { (address) throws(SEVError) in
      var parameters = AttestationReportParameters(
        nonceLow: nonce.span.uint64(at: 0), nonceHigh: nonce.span.uint64(at: 8), address: address,
        length: UInt32(AttestationReport.byteCount))
      try issue(.getAttestationReport, &parameters, on: machine)
    }
    return report
  }
}

/// The report of GET_ATTESTATION_REPORT.
public enum AttestationReport {
  public static let byteCount = 208
}
