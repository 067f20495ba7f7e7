import SEVABI

/// `KVM_ENABLE_CAP` on a VM, as far as SEV depends on it.
extension ModelHost {
  /// The reasons for which an MSR access can end the run: invalid, unknown, filtered.
  private static let userSpaceMSRReasonMask: UInt64 = 0b111

  /// `KVM_ENABLE_CAP` on a VM for a ``KernelCapability``; any other number is EINVAL.
  ///
  /// Takes no lock before its step ``Step/lock(_:then:)``, so that it must not wait for requests on the VM that
  /// are under way: a second move is refused with EBUSY while the first waits.
  ///
  /// - Parameter argument: The ioctl's argument, the user address of an ``EnableCapability``.
  public func enableCapability(on id: VirtualMachineID, argument: UInt64, caller: Caller) -> Step {
    guard usable(id, by: caller) != nil else { return .finished(.inputOutput) }
    return .read(address: argument, count: EnableCapability.byteCount) { host, bytes in
      guard let bytes, let request = EnableCapability(bytes: bytes) else { return .finished(.badAddress) }
      guard request.flags == 0, let capability = KernelCapability(rawValue: request.capability) else {
        return .finished(.invalidArgument)
      }
      return host.enable(capability, argument: request.argument, on: id, caller: caller)
    }
  }

  private mutating func enable(
    _ capability: KernelCapability, argument: UInt64, on id: VirtualMachineID, caller: Caller
  ) -> Step {
    let profile = configuration.profile
    switch capability {
    case .userSpaceMSR where argument & ~Self.userSpaceMSRReasonMask == 0:
      machines[id]?.userSpaceMSRReasons = argument
      return .finished(nil)
    case .exitHypercall where profile.hasExitHypercall && argument & ~(1 << PageStatus.hypercall) == 0:
      machines[id]?.exitsOnPageStatus = argument != 0
      return .finished(nil)
    case .copyEncryptionContext where configuration.isEnabled && profile.hasMirrors:
      return transfer(to: id, descriptor: argument) { host, source throws(KernelError) in
        try host.mirror(source, as: id)
      }
    case .moveEncryptionContext where configuration.isEnabled && configuration.offersMove:
      return transfer(to: id, descriptor: argument) { host, source throws(KernelError) in
        try host.move(source, to: id, payer: caller.controlGroup)
      }
    case .userSpaceMSR, .exitHypercall, .copyEncryptionContext, .moveEncryptionContext, .machineTypes:
      return .finished(.invalidArgument)
    }
  }

  /// Finds the source, marks both VMs as in transfer, locks both and then does what was asked for.
  private func transfer(
    to target: VirtualMachineID, descriptor: UInt64,
    _ body: @escaping @Sendable (inout ModelHost, VirtualMachineID) throws(KernelError) -> Void
  ) -> Step {
    .findMachine(descriptor: Int32(truncatingIfNeeded: descriptor)) { host, source in
      guard let source else { return .finished(.badDescriptor) }
      guard source != target else { return .finished(.invalidArgument) }
      guard host.machines[target]?.isInTransfer == false, host.machines[source]?.isInTransfer == false else {
        return .finished(.busy)
      }
      host.machines[target]?.isInTransfer = true
      host.machines[source]?.isInTransfer = true
      return .lock([target, source]) { host in
        host.machines[target]?.isInTransfer = false
        host.machines[source]?.isInTransfer = false
        do throws(KernelError) {
          try body(&host, source)
        } catch {
          return .finished(error)
        }
        return .finished(nil)
      }
    }
  }
}
