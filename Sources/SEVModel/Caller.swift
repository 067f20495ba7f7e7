/// A process's address space as the model knows it: threads share it, fork and exec lose it.
///
/// KVM compares the `mm_struct` of the caller with that of the VM's creator; the model compares these
/// numbers.
public struct AddressSpaceID: Hashable, Sendable {
  public let rawValue: UInt64

  public init(rawValue: UInt64) {
    self.rawValue = rawValue
  }
}

/// Who makes a request, as far as the outcome depends on it.
public struct Caller: Hashable, Sendable {
  public var addressSpace: AddressSpaceID
  /// How many pages a VM may have pinned in all: the soft RLIMIT_MEMLOCK in pages of 4 KiB; nil if the caller
  /// has CAP_IPC_LOCK.
  public var lockablePages: UInt64?
  /// The cgroup of the `misc` controller that the caller is in.
  public var controlGroup: ControlGroupID

  public init(
    addressSpace: AddressSpaceID, lockablePages: UInt64?, controlGroup: ControlGroupID = .root
  ) {
    self.addressSpace = addressSpace
    self.lockablePages = lockablePages
    self.controlGroup = controlGroup
  }
}

/// A VM of the model. Numbers are never used twice.
public struct VirtualMachineID: Hashable, Sendable {
  public let rawValue: UInt64
}

/// A vCPU of the model. Numbers are never used twice, and are not those that the VMM gives its vCPUs.
public struct VirtualCPUID: Hashable, Sendable {
  public let rawValue: UInt64
}
