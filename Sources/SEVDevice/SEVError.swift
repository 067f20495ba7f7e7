import Glibc
public import SEVABI

/// A failed SEV request: what was attempted, the errno, and the firmware's status if the firmware refused.
public struct SEVError: Error, Hashable, Sendable, CustomStringConvertible {
  /// What was attempted.
  public enum Attempt: Hashable, Sendable {
    case command(SEVCommandID)
    /// INIT2, which has the number of LOCAL_SEND.
    case initialize2
    /// A raw `KVM_MEMORY_ENCRYPT_OP`.
    case memoryEncryptOperation
    case registerRegion(EncryptedRegion)
    case unregisterRegion(EncryptedRegion)
    case makeMachine
    case makeVCPU
    case openFirmware
    /// `KVM_ENABLE_CAP` with this capability's number; 0 for a raw one.
    case enableCapability(UInt64)
    /// `KVM_CHECK_EXTENSION` with this capability's number.
    case checkExtension(UInt64)
    /// A command of `/dev/sev`.
    case deviceCommand(DeviceCommandID)
    /// A raw ioctl of `/dev/sev`.
    case issueCommand
    /// The list of shared pages that the v10 series keeps.
    case sharedPages
    /// A question about the model itself.
    case describe
    /// Memory that is read or written as the guest does.
    case guestMemory
    /// A software vCPU's instruction that ends in KVM.
    case vcpu
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
      case .initialize2: "SEV command INIT2"
      case .makeMachine: "making a VM of the SEV model"
      case .makeVCPU: "making a vCPU of the SEV model"
      case .enableCapability(206): "moving a SEV context between VMs"
      case .enableCapability(197): "making a mirror of a SEV guest"
      case .enableCapability(let number): "enabling KVM capability \(number)"
      case .checkExtension(let number): "checking KVM capability \(number)"
      case .deviceCommand(let id): "platform command \(id.symbol)"
      case .issueCommand: "SEV_ISSUE_CMD"
      case .sharedPages: "the list of shared pages"
      case .describe: "asking the SEV model what it is"
      case .guestMemory: "accessing encrypted guest memory"
      case .vcpu: "running a vCPU of the SEV model"
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
    case (.enableCapability(206), .invalidArgument):
      text = "the source is no SEV guest or was moved away already, the target is one, or their vCPUs differ"
    case (.enableCapability, .busy):
      text = "another move of one of the VMs is under way, a vCPU is being made, or the source has mirrors"
    case (.enableCapability, .badDescriptor): text = "the source's descriptor is no VM"
    case (.command, .notPermitted): text = "the guest's context was sent away from this VM"
    case (.command(.initialize), .busy), (.command(.esInitialize), .busy):
      text = "no address-space identifier is free, or the VM is a guest already"
    case (.registerRegion, .outOfMemory):
      text = "the memory cannot be pinned; raise the memlock limit or grant CAP_IPC_LOCK"
    case (_, .notSupported): text = "SEV is off, or the VM is no SEV guest"
    case (_, .inputOutput): text = "the VM belongs to another address space, or its context was moved away"
    case (_, .badDescriptor):
      text = "the descriptor number that the VM keeps is no open SEV firmware device in this process"
    default: text = unsafe String(cString: strerror(code))
    }
    return "\(text) (\(name) \(code))"
  }
}
