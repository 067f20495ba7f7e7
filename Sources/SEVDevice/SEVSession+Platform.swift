import Glibc
public import LinuxOS
public import SEVABI

/// Commands of the firmware device, for the platform and not for one guest.
extension SEVSession {
  /// Issues a command whose struct `parameters` is; what the kernel writes back is in it afterwards, also when
  /// the command fails.
  ///
  /// - Parameter firmware: What ``openFirmware(forWriting:)`` gave.
  public mutating func issue<Parameters: KernelStructure>(
    _ id: DeviceCommandID, _ parameters: inout Parameters, on firmware: borrowing OwnedDescriptor
  ) throws(SEVError) {
    precondition(Parameters.byteCount == id.parameterByteCount, "the struct is not this command's")
    area.storeParameters(parameters)
    let code = try send(id, on: firmware)
    parameters = area.loadParameters(as: Parameters.self)
    try check(code, id)
  }

  /// Issues a command that has no struct of its own.
  private mutating func issue(
    _ id: DeviceCommandID, on firmware: borrowing OwnedDescriptor
  ) throws(SEVError) {
    try check(try send(id, on: firmware), id)
  }

  private func send(
    _ id: DeviceCommandID, on firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> Int32 {
    let parameterByteCount = id.parameterByteCount
    area.storeArgument(
      DeviceCommandBlock(
        id: id.rawValue, data: parameterByteCount > 0 ? area.parameterAddress : 0,
        error: FirmwareStatus.neverCalled.rawValue))
    return try send(
      .firmwareCommand, on: firmware, parameterByteCount: parameterByteCount, for: .deviceCommand(id))
  }

  private func check(_ code: Int32, _ id: DeviceCommandID) throws(SEVError) {
    guard code != 0 else { return }
    let status = area.loadArgument(as: DeviceCommandBlock.self).error
    throw Self.failure(.deviceCommand(id), code: code, status: status)
  }

  /// `SEV_ISSUE_CMD` with any argument: what a program's own ioctl does.
  ///
  /// - Parameter argument: The address of a ``DeviceCommandBlock`` in this process, or anything else.
  /// - Returns: 0 or the errno.
  public mutating func issueCommand(
    on firmware: borrowing OwnedDescriptor, argument: UInt64
  ) throws(SEVError) -> Int32 {
    try ioctl(.firmwareCommand, on: firmware, argument: argument, for: .issueCommand)
  }

  /// SEV_PLATFORM_STATUS: version, state, owner and number of guests.
  public mutating func platformStatus(
    _ firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> PlatformStatusParameters {
    var parameters = PlatformStatusParameters(decoding: [UInt8](repeating: 0, count: 12).span)
    try issue(.platformStatus, &parameters, on: firmware)
    return parameters
  }

  /// SEV_FACTORY_RESET: wipes the platform's identity.
  ///
  /// - Throws: EBUSY while there are guests; EPERM if the device is not open for writing.
  public mutating func factoryReset(_ firmware: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.factoryReset, on: firmware)
  }

  /// SEV_PEK_GEN: makes a new endorsement key, signed by the platform itself.
  public mutating func generatePEK(_ firmware: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.generatePEK, on: firmware)
  }

  /// SEV_PDH_GEN: makes a new Diffie-Hellman key. Sessions that were made for the old one are void.
  public mutating func generatePDH(_ firmware: borrowing OwnedDescriptor) throws(SEVError) {
    try issue(.generatePDH, on: firmware)
  }

  /// SEV_PEK_CSR: the endorsement key's certificate for an owner to sign, 2084 bytes.
  public mutating func certificateSigningRequest(
    _ firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> [UInt8] {
    try readBuffer(.certificateSigningRequest, byteCount: PlatformBlob.certificateByteCount, firmware)
  }

  /// SEV_GET_ID2: the identifier under which AMD knows the chip.
  public mutating func platformIdentifier(
    _ firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> [UInt8] {
    try readBuffer(.getID2, byteCount: PlatformBlob.identifierByteCount, firmware)
  }

  private mutating func readBuffer(
    _ id: DeviceCommandID, byteCount: Int, _ firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> [UInt8] {
    var buffer = [UInt8](repeating: 0, count: byteCount)
    var length = 0
    try withAddress(writing: &buffer) { (address) throws(SEVError) in
      var parameters = SigningRequestParameters(address: address, length: UInt32(byteCount))
      try issue(id, &parameters, on: firmware)
      length = min(byteCount, Int(parameters.length))
    }
    return Array(buffer.prefix(length))
  }

  /// SEV_PEK_CERT_IMPORT: makes the signer of the endorsement key the platform's owner.
  ///
  /// - Parameters:
  ///   - certificate: What ``certificateSigningRequest(_:)`` gave, signed.
  ///   - owner: The signer's certificate (OCA).
  public mutating func importPEK(
    _ firmware: borrowing OwnedDescriptor, certificate: [UInt8], owner: [UInt8]
  ) throws(SEVError) {
    try withAddress(of: certificate) { (certificateAddress) throws(SEVError) in
      try withAddress(of: owner) { (ownerAddress) throws(SEVError) in
        var parameters = ImportParameters(
          certificateAddress: certificateAddress, certificateByteCount: UInt32(certificate.count),
          ownerAddress: ownerAddress, ownerByteCount: UInt32(owner.count))
        try issue(.importPEK, &parameters, on: firmware)
      }
    }
  }

  /// SEV_PDH_CERT_EXPORT: the platform's Diffie-Hellman certificate, 2084 bytes, and its chain (PEK, OCA, CEK),
  /// 6252 bytes. The CEK has no signature of AMD's; AMD's server gives the signed one.
  public mutating func exportPDH(
    _ firmware: borrowing OwnedDescriptor
  ) throws(SEVError) -> (diffieHellman: [UInt8], chain: [UInt8]) {
    var certificate = [UInt8](repeating: 0, count: PlatformBlob.certificateByteCount)
    var chain = [UInt8](repeating: 0, count: PlatformBlob.chainByteCount)
    try withAddress(writing: &certificate) { (certificateAddress) throws(SEVError) in
      try withAddress(writing: &chain) { (chainAddress) throws(SEVError) in
        var parameters = ExportParameters(
          diffieHellmanAddress: certificateAddress,
          diffieHellmanByteCount: UInt32(PlatformBlob.certificateByteCount), chainAddress: chainAddress,
          chainByteCount: UInt32(PlatformBlob.chainByteCount))
        try issue(.exportPDH, &parameters, on: firmware)
      }
    }
    return (certificate, chain)
  }
}

/// The sizes of what the firmware device gives, in bytes.
public enum PlatformBlob {
  public static let certificateByteCount = 2084
  public static let chainByteCount = 3 * certificateByteCount
  /// Two chips of 64 bytes each.
  public static let identifierByteCount = 128
}
