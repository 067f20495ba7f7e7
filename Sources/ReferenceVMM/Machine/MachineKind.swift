/// What executes the guest's vCPUs.
public enum MachineKind: UInt8, Hashable, Sendable, CaseIterable {
  /// Real vCPUs of `/dev/kvm`.
  case kvm = 1
  /// Threads that behave as the guest does.
  case software = 2
}

/// What the command line asks for.
public enum MachineKindChoice: String, Hashable, Sendable, CaseIterable {
  case auto
  case kvm
  case software
}
