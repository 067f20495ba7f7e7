/// The number of a command of `KVM_MEMORY_ENCRYPT_OP`, as `enum sev_cmd_id` of `linux/kvm.h` has it.
///
/// 22 and 23 are the numbers of the June 2021 local-migration patches (version 1). Mainline kernels from 6.10
/// use 22 for `KVM_SEV_INIT2`, so 22 must never be issued to find out which kernel is there.
public enum SEVCommandID: UInt32, CaseIterable, Hashable, Sendable {
  case initialize = 0
  case esInitialize = 1
  case launchStart = 2
  case launchUpdateData = 3
  case launchUpdateVMSA = 4
  case launchSecret = 5
  case launchMeasure = 6
  case launchFinish = 7
  case sendStart = 8
  case sendUpdateData = 9
  case sendUpdateVMSA = 10
  case sendFinish = 11
  case receiveStart = 12
  case receiveUpdateData = 13
  case receiveUpdateVMSA = 14
  case receiveFinish = 15
  case guestStatus = 16
  case debugDecrypt = 17
  case debugEncrypt = 18
  case certificateExport = 19
  case getAttestationReport = 20
  case sendCancel = 21
  case localSend = 22
  case localReceive = 23

  /// The number that mainline kernels from 6.10 have for `KVM_SEV_INIT2`, whose struct is an
  /// ``Initialize2Parameters``.
  public static let initialize2Number: UInt32 = 22

  /// The kernel's name of the command without the `KVM_SEV_` prefix, for messages.
  public var name: String {
    switch self {
    case .initialize: "INIT"
    case .esInitialize: "ES_INIT"
    case .launchStart: "LAUNCH_START"
    case .launchUpdateData: "LAUNCH_UPDATE_DATA"
    case .launchUpdateVMSA: "LAUNCH_UPDATE_VMSA"
    case .launchSecret: "LAUNCH_SECRET"
    case .launchMeasure: "LAUNCH_MEASURE"
    case .launchFinish: "LAUNCH_FINISH"
    case .sendStart: "SEND_START"
    case .sendUpdateData: "SEND_UPDATE_DATA"
    case .sendUpdateVMSA: "SEND_UPDATE_VMSA"
    case .sendFinish: "SEND_FINISH"
    case .receiveStart: "RECEIVE_START"
    case .receiveUpdateData: "RECEIVE_UPDATE_DATA"
    case .receiveUpdateVMSA: "RECEIVE_UPDATE_VMSA"
    case .receiveFinish: "RECEIVE_FINISH"
    case .guestStatus: "GUEST_STATUS"
    case .debugDecrypt: "DBG_DECRYPT"
    case .debugEncrypt: "DBG_ENCRYPT"
    case .certificateExport: "CERT_EXPORT"
    case .getAttestationReport: "GET_ATTESTATION_REPORT"
    case .sendCancel: "SEND_CANCEL"
    case .localSend: "LOCAL_SEND"
    case .localReceive: "LOCAL_RECEIVE"
    }
  }

  /// How many bytes of argument struct `kvm_sev_cmd.data` points at; 0 where the kernel ignores `data`.
  public var parameterByteCount: Int {
    switch self {
    case .initialize, .esInitialize, .launchUpdateVMSA, .launchFinish, .sendFinish, .sendCancel,
      .receiveFinish, .sendUpdateVMSA, .receiveUpdateVMSA, .certificateExport:
      0
    case .launchStart: LaunchStartParameters.byteCount
    case .launchUpdateData: LaunchUpdateDataParameters.byteCount
    case .launchSecret, .sendUpdateData, .receiveUpdateData: PacketParameters.byteCount
    case .launchMeasure: LaunchMeasureParameters.byteCount
    case .sendStart: SendStartParameters.byteCount
    case .receiveStart: ReceiveStartParameters.byteCount
    case .guestStatus: GuestStatusParameters.byteCount
    case .debugDecrypt, .debugEncrypt: DebugParameters.byteCount
    case .getAttestationReport: AttestationReportParameters.byteCount
    case .localSend: LocalSendParameters.byteCount
    case .localReceive: LocalReceiveParameters.byteCount
    }
  }

  /// The largest ``parameterByteCount`` of any command.
  public static let maximumParameterByteCount = SendStartParameters.byteCount
}

extension SEVCommandID {
  /// Whether the command pins memory of the caller, so that the caller's memlock limit matters.
  public var pinsMemory: Bool {
    switch self {
    case .launchUpdateData, .launchSecret, .debugDecrypt, .debugEncrypt, .sendUpdateData,
      .receiveUpdateData:
      true
    case .initialize, .esInitialize, .launchStart, .launchUpdateVMSA, .launchMeasure, .launchFinish,
      .sendStart, .sendUpdateVMSA, .sendFinish, .receiveStart, .receiveUpdateVMSA, .receiveFinish,
      .guestStatus, .certificateExport, .getAttestationReport, .sendCancel, .localSend, .localReceive:
      false
    }
  }
}
