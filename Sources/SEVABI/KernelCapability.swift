/// Capabilities of KVM that the SEV interface is made of, by their numbers in `linux/kvm.h`.
public enum KernelCapability: UInt32, CaseIterable, Hashable, Sendable {
  /// `KVM_CAP_X86_USER_SPACE_MSR`: MSRs that KVM does not handle end the run.
  case userSpaceMSR = 188
  /// `KVM_CAP_VM_COPY_ENC_CONTEXT_FROM`: makes a mirror VM.
  case copyEncryptionContext = 197
  /// `KVM_CAP_EXIT_HYPERCALL`: page-status hypercalls end the run.
  case exitHypercall = 201
  /// `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`: takes another VM's context over.
  case moveEncryptionContext = 206
  /// `KVM_CAP_VM_TYPES`: the mask of machine types.
  case machineTypes = 235
}
