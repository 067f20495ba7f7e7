import SEVABI

/// INIT, ES_INIT and INIT2.
extension ModelHost {
  /// The features of a VMSA that KVM can give a SEV-ES guest: debug swap (bit 5).
  private static let knownVMSAFeatures: UInt64 = 1 << 5
  private static let newestGHCBVersion: UInt16 = 2

  /// What `KVM_GET_DEVICE_ATTR` on `/dev/kvm` says of group 1 (SEV), attribute 0: the features that INIT2 takes
  /// for a SEV-ES guest.
  public var supportedVMSAFeatures: UInt64 {
    configuration.offersEncryptedState ? Self.knownVMSAFeatures : 0
  }

  mutating func initialize(_ command: Command, encryptedState: Bool) -> Step {
    guard let machine = machines[command.machine] else { return .finished(.inputOutput) }
    if encryptedState, !configuration.offersEncryptedState { return finish(command, .notSupported) }
    guard machine.type == .standard else { return finish(command, .invalidArgument) }
    // ES_INIT keeps the first version of the GHCB protocol.
    return initialize(
      command, encryptedState: encryptedState, vmsaFeatures: 0, ghcbVersion: encryptedState ? 1 : 0)
  }

  func initialize2(_ command: Command) -> Step {
    guard let machine = machines[command.machine] else { return .finished(.inputOutput) }
    guard machine.needsInitialization else { return finish(command, .invalidArgument) }
    return readParameters(command, as: Initialize2Parameters.self) { host, parameters in
      let encryptedState = machine.type == .sevES
      guard machine.createdVCPUCount == 0, parameters.flags == 0,
        parameters.vmsaFeatures & ~(encryptedState ? host.supportedVMSAFeatures : 0) == 0,
        parameters.ghcbVersion <= (encryptedState ? Self.newestGHCBVersion : 0)
      else { return host.finish(command, .invalidArgument) }
      let version = parameters.ghcbVersion == 0 ? Self.newestGHCBVersion : parameters.ghcbVersion
      return host.initialize(
        command, encryptedState: encryptedState, vmsaFeatures: parameters.vmsaFeatures,
        ghcbVersion: encryptedState ? version : 0)
    }
  }

  /// What all three have in common: vCPUs, second INIT, cgroup, ASID, platform.
  private mutating func initialize(
    _ command: Command, encryptedState: Bool, vmsaFeatures: UInt64, ghcbVersion: UInt16
  ) -> Step {
    guard var machine = machines[command.machine] else { return .finished(.inputOutput) }
    guard machine.createdVCPUCount == 0 else { return finish(command, .invalidArgument) }
    guard !machine.isActive else {
      let isBusy = configuration.profile.refusesSecondInitializeAsBusy
      return finish(command, isBusy ? .busy : .invalidArgument)
    }
    let group = command.caller.controlGroup
    do throws(KernelError) {
      try controlGroups.charge(group, encryptedState: encryptedState)
    } catch {
      return finish(command, error)
    }
    do throws(KernelError) {
      machine.asid = try asids.allocate(encryptedState: encryptedState) { firmware.flush() }
    } catch {
      controlGroups.uncharge(group, encryptedState: encryptedState)
      return finish(command, error)
    }
    do throws(FirmwareStatus) {
      try firmware.initializeIfNeeded()
    } catch {
      asids.free(machine.asid)
      controlGroups.uncharge(group, encryptedState: encryptedState)
      return finish(command, refusedBy: error)
    }
    machine.isActive = true
    machine.needsInitialization = false
    machine.hasEncryptedState = encryptedState
    machine.controlGroup = group
    machine.vmsaFeatures = vmsaFeatures
    machine.ghcbVersion = ghcbVersion
    machines[command.machine] = machine
    return finish(command)
  }
}
