/// The errno values with which the SEV interface of KVM fails, on x86-64.
public enum KernelError: Int32, Error, CaseIterable, Hashable, Sendable {
  /// EPERM: the VM's context was sent away, or the receiving VM is already in use.
  case notPermitted = 1
  /// EINTR.
  case interrupted = 4
  /// EIO: the firmware refused (see the firmware status), the VM belongs to another address space, or its
  /// context was moved away.
  case inputOutput = 5
  /// E2BIG: a list does not fit into the caller's buffer.
  case tooBig = 7
  /// EBADF: the descriptor number kept by the VM is not an open `/dev/sev` in the calling process, or the one
  /// given is no VM.
  case badDescriptor = 9
  /// ENOMEM: pages cannot be pinned, or the memlock limit is reached.
  case outOfMemory = 12
  /// EFAULT: argument memory cannot be read or written, or the token is unknown or used.
  case badAddress = 14
  /// EBUSY: no free address-space identifier, a move is under way, or (2021) the VM is already a SEV guest.
  case busy = 16
  /// EEXIST: the vCPU number is in use.
  case alreadyExists = 17
  /// ENODEV: there is no secure processor.
  case noDevice = 19
  /// EINVAL.
  case invalidArgument = 22
  /// ENOTTY: SEV is off, or the VM is no SEV guest.
  case notSupported = 25
  /// ETIMEDOUT: the firmware did not answer.
  case timedOut = 110

  /// The C name of the errno value.
  public var symbol: String {
    switch self {
    case .notPermitted: "EPERM"
    case .interrupted: "EINTR"
    case .inputOutput: "EIO"
    case .tooBig: "E2BIG"
    case .badDescriptor: "EBADF"
    case .outOfMemory: "ENOMEM"
    case .badAddress: "EFAULT"
    case .busy: "EBUSY"
    case .alreadyExists: "EEXIST"
    case .noDevice: "ENODEV"
    case .invalidArgument: "EINVAL"
    case .notSupported: "ENOTTY"
    case .timedOut: "ETIMEDOUT"
    }
  }
}
