import SEVABI

extension ModelWire.Request {
  /// The ioctl's number in the kernel.
  package var number: UInt {
    switch self {
    case .memoryEncryptOperation: SEVIoctl.memoryEncryptOperation
    case .registerRegion: SEVIoctl.registerRegion
    case .unregisterRegion: SEVIoctl.unregisterRegion
    case .enableCapability: SEVIoctl.enableCapability
    case .getSharedPages: SEVIoctl.getSharedPages
    case .setSharedPages: SEVIoctl.setSharedPages
    case .firmwareCommand: SEVIoctl.issueCommand
    }
  }
}

extension DeviceCommandID {
  /// How many bytes of struct `sev_issue_cmd.data` points at; 0 where there is none, and for SEV_GET_ID, whose
  /// 128 bytes are only written.
  package var parameterByteCount: Int {
    switch self {
    case .factoryReset, .generatePEK, .generatePDH, .getID: 0
    case .platformStatus: PlatformStatusParameters.byteCount
    case .certificateSigningRequest: SigningRequestParameters.byteCount
    case .exportPDH: ExportParameters.byteCount
    case .importPEK: ImportParameters.byteCount
    case .getID2: IdentifierParameters.byteCount
    }
  }
}
