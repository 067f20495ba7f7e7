/// The end of a VM: its last descriptor was closed.
extension ModelHost {
  /// Destroys a VM: regions are unpinned, and the guest's key is gone, unless another VM received the
  /// context.
  ///
  /// An unused token dies with its source. A used one was kept only so that it was not given out again.
  ///
  /// - Precondition: No request on the VM is unfinished.
  public mutating func destroy(_ id: VirtualMachineID) {
    guard let machine = machines.removeValue(forKey: id), machine.isActive else { return }
    if let sent = machine.sent {
      let context = staged[sent]
      staged[sent] = nil
      if context?.isValid == false { return }
    }
    if machine.handle != 0 { discard(machine.handle) }
    asids.free(machine.asid)
  }
}
