/// A command of the firmware that the model has, numbered as the firmware numbers it.
///
/// Not modelled are those that Linux never issues: INIT_EX, NOP, RING_BUFFER, DOWNLOAD_FIRMWARE,
/// ACTIVATE_EX, COPY, SWAP_OUT and SWAP_IN.
package enum FirmwareCommand: UInt32, CaseIterable, Sendable {
  case initialize = 0x01
  case shutdown = 0x02
  case platformReset = 0x03
  case platformStatus = 0x04
  case generatePEK = 0x05
  case certificateSigningRequest = 0x06
  case importPEK = 0x07
  case exportPDH = 0x08
  case generatePDH = 0x09
  case flushDataFabric = 0x0A
  case getID = 0x0C
  case decommission = 0x20
  case activate = 0x21
  case deactivate = 0x22
  case guestStatus = 0x23
  case launchStart = 0x30
  case launchUpdateData = 0x31
  case launchUpdateVMSA = 0x32
  case launchMeasure = 0x33
  case launchSecret = 0x34
  case launchFinish = 0x35
  case attestation = 0x36
  case sendStart = 0x40
  case sendUpdateData = 0x41
  case sendUpdateVMSA = 0x42
  case sendFinish = 0x43
  case sendCancel = 0x44
  case receiveStart = 0x50
  case receiveUpdateData = 0x51
  case receiveUpdateVMSA = 0x52
  case receiveFinish = 0x53
  case debugDecrypt = 0x60
  case debugEncrypt = 0x61

  /// The platform states in which the command is admitted; in any other it is INVALID_PLATFORM_STATE.
  package var platformStates: Set<Firmware.PlatformState> {
    switch self {
    case .initialize, .platformReset: [.uninitialized]
    case .shutdown, .platformStatus, .getID: [.uninitialized, .initialized, .working]
    case .generatePEK, .importPEK: [.initialized]
    case .certificateSigningRequest, .exportPDH, .generatePDH, .flushDataFabric, .guestStatus,
      .launchStart, .receiveStart:
      [.initialized, .working]
    case .decommission, .activate, .deactivate, .launchUpdateData, .launchUpdateVMSA, .launchMeasure,
      .launchSecret, .launchFinish, .attestation, .sendStart, .sendUpdateData, .sendUpdateVMSA, .sendFinish,
      .sendCancel, .receiveUpdateData, .receiveUpdateVMSA, .receiveFinish, .debugDecrypt, .debugEncrypt:
      [.working]
    }
  }
}
