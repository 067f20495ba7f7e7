/// A hypercall that KVM leaves to user space (`KVM_EXIT_HYPERCALL`).
///
/// KVM has checked privilege and, for `KVM_HC_MAP_GPA_RANGE`, alignment and overflow before; the answer goes
/// into the guest's RAX with the next `KVM_RUN`.
public struct KVMHypercall: Hashable, Sendable {
  /// `KVM_HC_MAP_GPA_RANGE` is 12, the only one that mainline gives out.
  public let number: UInt64
  /// Six; those that the guest did not set mean nothing.
  public let arguments: [UInt64]
  /// Whether the vCPU was in 64-bit mode. Otherwise KVM has cut the arguments to 32 bits.
  public let isLongMode: Bool

  public init(number: UInt64, arguments: [UInt64], isLongMode: Bool) {
    self.number = number
    self.arguments = arguments
    self.isLongMode = isLongMode
  }
}

/// An access to a model-specific register that KVM leaves to user space (`KVM_EXIT_X86_RDMSR` and
/// `KVM_EXIT_X86_WRMSR`).
public struct KVMMSRAccess: Hashable, Sendable {
  /// Why KVM did not do it itself: bits of `KVM_MSR_EXIT_REASON_*`.
  public struct Reason: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) { self.rawValue = rawValue }

    /// KVM knows the register and the value is none for it.
    public static let invalid = Reason(rawValue: 1 << 0)
    /// KVM does not know the register.
    public static let unknown = Reason(rawValue: 1 << 1)
    /// The filter denies it.
    public static let filtered = Reason(rawValue: 1 << 2)
  }

  public let index: UInt32
  /// What the guest writes; 0 for a read.
  public let value: UInt64
  public let reason: Reason

  public init(index: UInt32, value: UInt64, reason: Reason) {
    self.index = index
    self.value = value
    self.reason = reason
  }
}
