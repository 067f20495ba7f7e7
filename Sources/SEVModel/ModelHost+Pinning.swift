import SEVABI

/// Pinned memory: the helper that KVM pins pages with, and registered regions.
extension ModelHost {
  /// How many pages hold a range; nothing if it is empty or wraps.
  private static func pageCount(address: UInt64, count: UInt64) -> UInt64? {
    let (end, wraps) = address.addingReportingOverflow(count)
    guard count > 0, !wraps else { return nil }
    let first = address / SEVLimit.pageByteCount
    let last = (end - 1) / SEVLimit.pageByteCount
    return last - first + 1
  }

  /// KVM's checks before pages are pinned, in its order.
  ///
  /// - Returns: How many pages hold the range.
  private func checkPin(
    _ id: VirtualMachineID, address: UInt64, count: UInt64, caller: Caller
  ) throws(KernelError) -> UInt64 {
    guard let pages = Self.pageCount(address: address, count: count) else { throw .invalidArgument }
    let locked = (machines[id]?.lockedPages ?? 0) + pages
    if let limit = caller.lockablePages, locked > limit { throw .outOfMemory }
    guard pages <= UInt64(Int32.max) else { throw .invalidArgument }
    return pages
  }

  /// Pins a range for the time of a command and goes on, or ends the command with the pinning's errno.
  func pin(
    _ command: Command, address: UInt64, count: UInt64, forWriting: Bool,
    then: @escaping @Sendable (inout ModelHost) -> Step
  ) -> Step {
    do throws(KernelError) {
      _ = try checkPin(command.machine, address: address, count: count, caller: command.caller)
    } catch {
      return finish(command, error)
    }
    return .pin(address: address, count: count, forWriting: forWriting) { host, pinned in
      pinned ? then(&host) : host.finish(command, .outOfMemory)
    }
  }

  // MARK: Regions

  /// `KVM_MEMORY_ENCRYPT_REG_REGION` on a VM. Not refused on a VM whose context was sent away.
  ///
  /// - Parameter argument: The ioctl's argument, the user address of an ``EncryptedRegion``.
  public func registerRegion(on id: VirtualMachineID, argument: UInt64, caller: Caller) -> Step {
    readRegion(on: id, argument: argument, caller: caller) { host, region in
      let pages: UInt64
      do throws(KernelError) {
        guard let machine = host.machines[id], machine.isActive else { throw .notSupported }
        // The owner pins what a mirror uses.
        guard !machine.isMirror else { throw .invalidArgument }
        pages = try host.checkPin(id, address: region.address, count: region.size, caller: caller)
      } catch {
        return .finished(error)
      }
      return .pin(address: region.address, count: region.size, forWriting: true) { host, pinned in
        guard pinned else { return .finished(.outOfMemory) }
        host.machines[id]?.regions.append(PinnedRegion(region: region, pageCount: pages))
        host.machines[id]?.lockedPages += pages
        return .finished(nil)
      }
    }
  }

  /// `KVM_MEMORY_ENCRYPT_UNREG_REGION` on a VM: forgets one region of exactly that address and size.
  ///
  /// - Parameter argument: The ioctl's argument, the user address of an ``EncryptedRegion``.
  public func unregisterRegion(on id: VirtualMachineID, argument: UInt64, caller: Caller) -> Step {
    readRegion(on: id, argument: argument, caller: caller) { host, region in
      guard var machine = host.machines[id] else { return .finished(.inputOutput) }
      guard !machine.isMirror else { return .finished(.invalidArgument) }
      guard machine.isActive else { return .finished(.notSupported) }
      guard let index = machine.regions.firstIndex(where: { $0.region == region }) else {
        return .finished(.invalidArgument)
      }
      // A VM that sent its context keeps the count but not the regions, hence no plain subtraction.
      let pages = machine.regions.remove(at: index).pageCount
      machine.lockedPages -= min(pages, machine.lockedPages)
      host.machines[id] = machine
      return .finished(nil)
    }
  }

  private func readRegion(
    on id: VirtualMachineID, argument: UInt64, caller: Caller,
    then: @escaping @Sendable (inout ModelHost, EncryptedRegion) -> Step
  ) -> Step {
    guard usable(id, by: caller) != nil else { return .finished(.inputOutput) }
    let isEnabled = configuration.isEnabled
    return .read(address: argument, count: EncryptedRegion.byteCount) { host, bytes in
      guard let bytes, let region = EncryptedRegion(bytes: bytes) else { return .finished(.badAddress) }
      guard isEnabled else { return .finished(.notSupported) }
      return then(&host, region)
    }
  }
}
