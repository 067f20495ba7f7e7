import SEVABI

/// The end of a VM: its last descriptor was closed.
extension ModelHost {
  /// Tells that a VM's last descriptor is closed. The VM ends with it, or with its last vCPU's.
  ///
  /// - Precondition: No request on the VM is unfinished.
  public mutating func close(_ id: VirtualMachineID) {
    machines[id]?.isDescriptorOpen = false
    destroyIfUnreferenced(id)
  }

  /// Tells that a vCPU's last descriptor is closed. The vCPU itself stays as long as its VM.
  ///
  /// - Precondition: As ``close(_:)-(VirtualMachineID)``.
  public mutating func close(_ vcpu: VirtualCPUID) {
    guard let id = vcpus[vcpu]?.machine else { return }
    machines[id]?.openVCPUCount -= 1
    destroyIfUnreferenced(id)
  }

  private mutating func destroyIfUnreferenced(_ id: VirtualMachineID) {
    guard let machine = machines[id], !machine.isDescriptorOpen, machine.openVCPUCount <= 0 else { return }
    destroy(id)
  }

  /// Destroys a VM: regions are unpinned, and the guest's key is gone, unless another VM received the
  /// context. A VM with mirrors lives on, unreachable, until the last of them is destroyed.
  ///
  /// An unused token dies with its source. A used one was kept only so that it was not given out again.
  ///
  /// - Precondition: No request on the VM is unfinished.
  public mutating func destroy(_ id: VirtualMachineID) {
    machines[id]?.isClosed = true
    endIfUnused(id)
  }

  /// Ends a VM that is closed and that no mirror needs.
  mutating func endIfUnused(_ id: VirtualMachineID) {
    guard let machine = machines[id], machine.isClosed, machine.mirrors.isEmpty else { return }
    machines[id] = nil
    for vcpu in machine.vcpus { vcpus[vcpu] = nil }
    guard machine.isActive else { return }
    if let owner = machine.owner {
      // The key and the ASID are the owner's.
      machines[owner]?.mirrors.remove(id)
      endIfUnused(owner)
      return
    }
    if let sent = machine.sent {
      let context = staged[sent]
      staged[sent] = nil
      if context?.isValid == false { return }
    }
    if machine.handle != 0 { discard(machine.handle) }
    asids.free(machine.asid)
    controlGroups.uncharge(machine.controlGroup, encryptedState: machine.hasEncryptedState)
  }
}
