import Glibc
public import SEVABI

/// A failed SEV request: what was attempted, the errno, and the firmware's status if the firmware refused.
public struct SEVError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was attempted.
  public enum Attempt: Hashable, Sendable {
    case command(SEVCommandID)
    /// A raw `KVM_MEMORY_ENCRYPT_OP`.
    case memoryEncryptOperation
    case registerRegion(EncryptedRegion)
    case unregisterRegion(EncryptedRegion)
    case makeMachine
    case openFirmware
    case connect(path: String)
  }

  public let attempt: Attempt
  /// The positive errno.
  public let code: Int32
  /// What the firmware answered, if it was called and refused.
  public let firmwareStatus: UInt32?
  /// True when the connection to the model broke while it worked on the request, so that nobody can say
  /// whether it was done. Never true with the kernel.
  public let isOutcomeUnknown: Bool

  public init(
    _ attempt: Attempt, code: Int32, firmwareStatus: UInt32? = nil, isOutcomeUnknown: Bool = false
  ) {
    self.attempt = attempt
    self.code = code
    self.firmwareStatus = firmwareStatus
    self.isOutcomeUnknown = isOutcomeUnknown
  }

  /// The errno as one of those that KVM's SEV interface has, else nil.
  public var reason: KernelError? { KernelError(rawValue: code) }
  /// The firmware's status as a known one, else nil.
  public var firmware: FirmwareStatus? { firmwareStatus.flatMap(FirmwareStatus.init(rawValue:)) }

  public var description: String {
    let what =
      switch attempt {
      case .memoryEncryptOperation: "KVM_MEMORY_ENCRYPT_OP"
      case .command(let id): "SEV command \(id.name)"
      case .registerRegion(let region): "registering \(region.size) bytes of encrypted memory"
      case .unregisterRegion(let region): "unregistering \(region.size) bytes of encrypted memory"
      case .makeMachine: "making a VM of the SEV model"
      case .openFirmware: "opening the SEV firmware device"
      case .connect(let path): "connecting to the SEV model at \(path)"
      }
    if isOutcomeUnknown {
      return "\(what) may or may not have been done: the model went away (errno \(code))"
    }
    if let firmwareStatus {
      let name = firmware?.symbol ?? "unknown status"
      return "\(what) was refused by the firmware: \(name) (status \(firmwareStatus))"
    }
    return "\(what) failed: \(explanation)"
  }

  private var explanation: String {
    let name = reason?.symbol ?? "errno"
    let text: String
    switch (attempt, reason) {
    case (.command(.localReceive), .badAddress):
      text = "the token is unknown, was used, or its source is gone"
    case (.command(.localReceive), .notPermitted):
      text = "the target VM already has a guest, registered memory or encrypted state"
    case (.command, .notPermitted): text = "the guest's context was sent away from this VM"
    case (.command(.initialize), .busy):
      text = "no address-space identifier is free, or the VM is a guest already"
    case (.registerRegion, .outOfMemory):
      text = "the memory cannot be pinned; raise the memlock limit or grant CAP_IPC_LOCK"
    case (_, .notSupported): text = "SEV is off, or the VM is no SEV guest"
    case (_, .inputOutput): text = "the VM belongs to another address space"
    case (_, .badDescriptor):
      text = "the descriptor number that the VM keeps is no open SEV firmware device in this process"
    default: text = unsafe String(cString: strerror(code))
    }
    return "\(text) (\(name) \(code))"
  }
}
