import SEVABI

/// KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM and KVM_CAP_VM_COPY_ENC_CONTEXT_FROM, with both VMs locked.
extension ModelHost {
  /// Takes a guest's context over from its VM, which is dead afterwards.
  ///
  /// The target keeps its own number of the firmware device (0, for it never launched), its mark that INIT2 is
  /// needed, and its GHCB version and jump table: the kernel forgets these four, and so does the model.
  ///
  /// - Parameter payer: The cgroup of who asks for the move, which pays from now on.
  mutating func move(
    _ sourceID: VirtualMachineID, to targetID: VirtualMachineID, payer: ControlGroupID
  ) throws(KernelError) {
    guard var target = machines[targetID], var source = machines[sourceID], target.type == source.type,
      !target.isActive, source.isActive
    else { throw .invalidArgument }
    // No kernel has both ways. The rule is that of LOCAL_SEND: what was sent away is gated.
    guard source.sent == nil else { throw .notPermitted }
    guard source.mirrors.isEmpty || configuration.profile.movesMirroredMachines else { throw .busy }
    // A mirror's ASID is paid for by the owner.
    let changesPayer = payer != source.controlGroup && !source.isMirror
    if changesPayer { try controlGroups.charge(payer, encryptedState: source.hasEncryptedState) }
    do throws(KernelError) {
      try checkVCPUs(of: source, match: target)
    } catch {
      if changesPayer { controlGroups.uncharge(payer, encryptedState: source.hasEncryptedState) }
      throw error
    }
    if changesPayer {
      controlGroups.uncharge(source.controlGroup, encryptedState: source.hasEncryptedState)
      source.controlGroup = payer
    }

    target.isActive = true
    target.hasEncryptedState = source.hasEncryptedState
    target.asid = source.asid
    target.handle = source.handle
    target.lockedPages = source.lockedPages
    target.regions.append(contentsOf: source.regions)
    target.vmsaFeatures = source.vmsaFeatures
    target.controlGroup = source.controlGroup
    target.owner = source.owner
    target.mirrors = source.mirrors
    for mirror in source.mirrors { machines[mirror]?.owner = targetID }
    if let owner = source.owner {
      machines[owner]?.mirrors.remove(sourceID)
      machines[owner]?.mirrors.insert(targetID)
    }
    if source.hasEncryptedState {
      for (from, to) in zip(source.vcpus, target.vcpus) { moveEncryptedState(from: from, to: to) }
    }

    source.isDead = true
    source.isActive = false
    source.hasEncryptedState = false
    source.asid = 0
    source.handle = 0
    source.lockedPages = 0
    source.regions = []
    source.owner = nil
    source.mirrors = []
    machines[targetID] = target
    machines[sourceID] = source
    endIfUnused(sourceID)
  }

  /// vCPUs of SEV-ES guests move by their order of creation, whatever their numbers; so there must be as many, and
  /// each with its registers encrypted. For other guests their number does not matter.
  private func checkVCPUs(of source: VirtualMachine, match target: VirtualMachine) throws(KernelError) {
    guard !target.isCreatingVCPU, !source.isCreatingVCPU else { throw .busy }
    guard source.hasEncryptedState else { return }
    guard source.vcpus.count == target.vcpus.count,
      source.vcpus.allSatisfy({ vcpus[$0]?.encryptedState.isProtected == true })
    else { throw .invalidArgument }
  }

  private mutating func moveEncryptedState(from source: VirtualCPUID, to target: VirtualCPUID) {
    guard let state = vcpus[source]?.encryptedState else { return }
    vcpus[target]?.encryptedState = state
    vcpus[source]?.encryptedState = EncryptedState()
  }

  /// Makes a VM a mirror of a guest: the same key and ASID, vCPUs and memory layout of its own.
  mutating func mirror(_ sourceID: VirtualMachineID, as targetID: VirtualMachineID) throws(KernelError) {
    guard var target = machines[targetID], let source = machines[sourceID], !target.isActive,
      source.isActive, !source.isMirror, target.createdVCPUCount == 0
    else { throw .invalidArgument }
    guard source.sent == nil else { throw .notPermitted }
    target.isActive = true
    target.needsInitialization = false
    target.hasEncryptedState = source.hasEncryptedState
    target.asid = source.asid
    target.handle = source.handle
    target.firmwareDescriptor = source.firmwareDescriptor
    target.owner = sourceID
    machines[targetID] = target
    machines[sourceID]?.mirrors.insert(targetID)
  }
}
