public import SEVABI

/// Registers of vCPUs, before and after LAUNCH_UPDATE_VMSA took them away from the VMM.
extension ModelHost {
  /// What getting and setting a vCPU's registers means.
  public enum RegisterAccess: Hashable, Sendable {
    case live
    /// Gets give zeros and sets are ignored, both with success: a protected vCPU of a VM of the default type.
    case meaningless
    /// EINVAL: a protected vCPU of a typed VM. (For an MSR: only that entry fails.)
    case refused
  }

  /// How a VMM gets on with the registers that live in a vCPU's VMSA: general and special registers, debug
  /// registers, XSAVE area, XCRs, and the MSRs kept there. Local APIC, multiprocessing state, events, CPUID, clock
  /// and TSC are never concerned.
  ///
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``.
  public func registerAccess(of vcpu: VirtualCPUID, caller: Caller) throws(KernelError) -> RegisterAccess {
    let machine = try usableMachine(of: vcpu, caller: caller)
    guard vcpus[vcpu]?.encryptedState.isProtected == true else { return .live }
    return machine.type == .standard ? .meaningless : .refused
  }

  /// Gets a part of a vCPU's state.
  ///
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``; EINVAL where it is refused or cannot be got.
  public func vcpuState(
    _ state: VCPUState, of vcpu: VirtualCPUID, caller: Caller
  ) throws(KernelError) -> [UInt8] {
    let access = try registerAccess(of: vcpu, caller: caller)
    guard state != .guestDebug, let registers = vcpus[vcpu]?.registers else { throw .invalidArgument }
    switch access {
    case .live: return registers[state]
    case .meaningless: return [UInt8](repeating: 0, count: state.byteCount)
    case .refused: throw .invalidArgument
    }
  }

  /// Sets a part of a vCPU's state.
  ///
  /// - Parameter bytes: The kernel's struct, of exactly ``VCPUState/byteCount`` bytes.
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``; EINVAL where it is refused, or for another
  ///   length. Debugging a protected vCPU is refused for every type.
  public mutating func setVCPUState(
    _ state: VCPUState, of vcpu: VirtualCPUID, to bytes: [UInt8], caller: Caller
  ) throws(KernelError) {
    let access = try registerAccess(of: vcpu, caller: caller)
    guard bytes.count == state.byteCount else { throw .invalidArgument }
    switch access {
    case .live: vcpus[vcpu]?.registers[state] = bytes
    case .meaningless:
      guard state != .guestDebug else { throw .invalidArgument }
    case .refused: throw .invalidArgument
    }
  }

  // MARK: LAUNCH_UPDATE_VMSA

  func launchUpdateVMSA(_ command: Command) -> Step {
    guard let machine = guest(command), machine.hasEncryptedState else {
      return finish(command, .notSupported)
    }
    return updateVMSA(command, remaining: machine.vcpus[...])
  }

  /// Encrypts the registers of one vCPU after the other, up to the first that fails; those before it stay
  /// protected.
  private func updateVMSA(_ command: Command, remaining: ArraySlice<VirtualCPUID>) -> Step {
    guard let id = remaining.first else { return finish(command) }
    guard let vcpu = vcpus[id], !vcpu.registers.isDebugged else { return finish(command, .invalidArgument) }
    return callFirmware(command) { host, handle throws(FirmwareStatus) in
      let features = host.machines[command.machine]?.vmsaFeatures ?? 0
      // The address is the kernel's own, a page.
      return try host.firmware.launchUpdateVMSA(
        handle, address: 0, page: SaveArea.page(vcpu.registers, features: features))
    } then: { host, command, page in
      host.vcpus[id]?.protect(page: page)
      return host.updateVMSA(command, remaining: remaining.dropFirst())
    }
  }
}
