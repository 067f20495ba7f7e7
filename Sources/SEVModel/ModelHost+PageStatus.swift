public import SEVABI

/// What a guest tells its hypervisor about its pages, by hypercall and MSR.
extension ModelHost {
  /// What a hypercall comes to.
  public enum HypercallOutcome: Hashable, Sendable {
    /// The guest goes on with this in RAX.
    case returned(Int64)
    /// KVM_EXIT_HYPERCALL: the VMM answers and runs the vCPU again.
    case exit(number: UInt64, arguments: [UInt64])
  }

  /// What an access to an MSR comes to.
  public enum MSROutcome: Hashable, Sendable {
    case value(UInt64)
    case done
    /// KVM_EXIT_X86_RDMSR or KVM_EXIT_X86_WRMSR with this reason (2 unknown, 4 filtered).
    case exit(reason: UInt32)
    /// The guest gets #GP.
    case generalProtection
  }

  /// What KVM returns to guests (`linux/kvm_para.h`).
  private enum GuestError {
    static let unknown: Int64 = -1000
    static let invalid: Int64 = -22
    static let notPermitted: Int64 = -1
  }

  private enum MSRReason {
    static let unknown: UInt32 = 1 << 1
    static let filtered: UInt32 = 1 << 2
  }

  /// A guest's hypercall, as a software vCPU makes it.
  ///
  /// - Parameters:
  ///   - number: Only the page-status one is known.
  ///   - arguments: Guest-physical address, number of 4 KiB pages, attributes.
  ///   - privilege: The guest's current privilege level.
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``.
  public mutating func hypercall(
    _ number: UInt64, _ arguments: [UInt64], privilege: UInt8 = 0, on vcpu: VirtualCPUID, caller: Caller
  ) throws(KernelError) -> HypercallOutcome {
    let machine = try usableMachine(of: vcpu, caller: caller)
    guard privilege == 0 else { return .returned(GuestError.notPermitted) }
    guard number == PageStatus.hypercall, arguments.count >= 3 else { return .returned(GuestError.unknown) }
    let (address, count) = (arguments[0], arguments[1])
    let first = address / SEVLimit.pageByteCount
    let (end, overflows) = first.addingReportingOverflow(count)
    if configuration.profile.keepsSharedPages {
      guard machine.isActive else { return .returned(GuestError.unknown) }
      guard address % SEVLimit.pageByteCount == 0, !overflows else { return .returned(GuestError.invalid) }
      if let id = vcpus[vcpu]?.machine {
        machines[id]?.sharedPages.update(first..<end, isEncrypted: arguments[2] & 1 != 0)
      }
      return .returned(0)
    }
    guard machine.exitsOnPageStatus else { return .returned(GuestError.unknown) }
    guard address % SEVLimit.pageByteCount == 0, count > 0, !overflows else {
      return .returned(GuestError.invalid)
    }
    vcpus[vcpu]?.pendingHypercall = true
    return .exit(number: number, arguments: Array(arguments[..<3]))
  }

  /// What the guest gets in RAX when the VMM runs the vCPU again after KVM_EXIT_HYPERCALL; nil if none was
  /// pending.
  ///
  /// - Parameter result: What the VMM wrote to `kvm_run.hypercall.ret`; 0 for success.
  public mutating func completeHypercall(on vcpu: VirtualCPUID, result: UInt64) -> Int64? {
    guard vcpus[vcpu]?.pendingHypercall == true else { return nil }
    vcpus[vcpu]?.pendingHypercall = false
    return Int64(bitPattern: result)
  }

  // MARK: MSRs

  /// Keeps MSRs from the guest, as `KVM_X86_SET_MSR_FILTER` does; an access to them is #GP, or ends the run where
  /// KVM_CAP_X86_USER_SPACE_MSR asks for it.
  public mutating func denyMSRs(_ indices: [ClosedRange<UInt32>], on id: VirtualMachineID) {
    machines[id]?.deniedMSRs = indices
  }

  /// A guest reads an MSR. Mainline KVM does not implement the migration-control MSR, nor does the model any
  /// other.
  ///
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``.
  public func readMSR(
    _ index: UInt32, on vcpu: VirtualCPUID, caller: Caller
  ) throws(KernelError) -> MSROutcome {
    let machine = try usableMachine(of: vcpu, caller: caller)
    if let outcome = filtered(index, machine) { return outcome }
    guard hasMigrationMSR(index, machine) else { return unknown(machine) }
    return .value(machine.isLiveMigrationEnabled ? PageStatus.migrationReady : 0)
  }

  /// A guest writes an MSR.
  ///
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``.
  public mutating func writeMSR(
    _ index: UInt32, _ value: UInt64, on vcpu: VirtualCPUID, caller: Caller
  ) throws(KernelError) -> MSROutcome {
    let machine = try usableMachine(of: vcpu, caller: caller)
    if let outcome = filtered(index, machine) { return outcome }
    guard hasMigrationMSR(index, machine) else { return unknown(machine) }
    guard value & ~PageStatus.migrationReady == 0, let id = vcpus[vcpu]?.machine else {
      return .generalProtection
    }
    machines[id]?.isLiveMigrationEnabled = value != 0
    return .done
  }

  private func hasMigrationMSR(_ index: UInt32, _ machine: VirtualMachine) -> Bool {
    configuration.profile.keepsSharedPages && index == PageStatus.migrationControlMSR && machine.isActive
  }

  private func filtered(_ index: UInt32, _ machine: VirtualMachine) -> MSROutcome? {
    guard machine.deniedMSRs.contains(where: { $0.contains(index) }) else { return nil }
    return outcome(of: MSRReason.filtered, machine)
  }

  private func unknown(_ machine: VirtualMachine) -> MSROutcome {
    outcome(of: MSRReason.unknown, machine)
  }

  private func outcome(of reason: UInt32, _ machine: VirtualMachine) -> MSROutcome {
    machine.userSpaceMSRReasons & UInt64(reason) != 0 ? .exit(reason: reason) : .generalProtection
  }
}
