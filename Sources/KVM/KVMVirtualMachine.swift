public import LinuxOS

/// A VM with in-kernel interrupt controllers and PIT, its memory and its vCPUs.
///
/// Making one touches no guest RAM. The kernel frees it when the last descriptor of it is closed.
public final class KVMVirtualMachine: Sendable {
  /// Guest memory: where the guest sees it and where this process has it.
  public struct MemorySlot: Hashable, Sendable {
    public var guestAddress: UInt64
    public var byteCount: UInt64
    public var hostAddress: UInt

    public init(guestAddress: UInt64, byteCount: UInt64, hostAddress: UInt) {
      self.guestAddress = guestAddress
      self.byteCount = byteCount
      self.hostAddress = hostAddress
    }
  }

  public let vcpus: [KVMVCPU]
  /// Whether the guest finds a kvmclock (CPUID 0x40000001, EAX bit 3).
  public let hasKVMClock: Bool
  /// What a fresh guest finds in CPUID 0x40000001, EAX: KVM's own features and those that the VMM offers. A
  /// restored guest keeps those of its saved state.
  public let guestFeatures: UInt32
  /// The memory, in the order of KVM's slots.
  public let memory: [MemorySlot]
  let handle: KVMHandle

  /// Makes the VM in the order that KVM wants: interrupt controllers before vCPUs, PIT after them.
  ///
  /// - Parameters:
  ///   - memory: Not overlapping; the mappings must outlive the VM.
  ///   - guestFeatures: Bits of CPUID 0x40000001, EAX, that the guest finds besides KVM's own: what the VMM
  ///     itself does for the guest (16: `KVM_HC_MAP_GPA_RANGE`, 17: `MSR_KVM_MIGRATION_CONTROL`).
  ///   - trace: Where every later call is recorded, for tests.
  public init(
    _ system: KVMSystem, vcpuCount: Int, memory: [MemorySlot], guestFeatures: UInt32 = 0,
    trace: KVMTrace? = nil
  ) throws(KVMError) {
    let handle = try system.createVM(trace: trace)
    // Three pages and one page below the firmware's place, out of RAM (Intel's real mode needs them).
    try handle.call(.setTSSAddress, 0xFFFB_D000)
    var identityMap = [UInt8](repeating: 0, count: 8)
    identityMap.setInteger(UInt64(0xFFFB_C000), at: 0)
    try handle.exchange(.setIdentityMapAddress, &identityMap)
    try handle.call(.createIRQChip)
    var pit = [UInt8](repeating: 0, count: 64)
    try handle.exchange(.createPIT2, &pit)
    for (slot, range) in memory.enumerated() { try Self.setMemory(handle, slot, range) }
    var vcpus: [KVMVCPU] = []
    for index in 0..<vcpuCount {
      let number = try handle.call(.createVCPU, UInt(index))
      vcpus.append(
        try KVMVCPU(
          OwnedDescriptor(adopting: number), index: index, system: system, guestFeatures: guestFeatures,
          trace: trace))
    }
    self.vcpus = vcpus
    hasKVMClock = CPUIDTable.hasKVMClock(system.supportedCPUID)
    self.guestFeatures = CPUIDTable.guestFeatures(system.supportedCPUID) | guestFeatures
    self.memory = memory
    self.handle = handle
  }

  /// - Parameter flags: `KVM_MEM_LOG_DIRTY_PAGES` is 1.
  static func setMemory(
    _ handle: borrowing KVMHandle, _ slot: Int, _ range: MemorySlot, flags: UInt32 = 0
  ) throws(KVMError) {
    // struct kvm_userspace_memory_region: slot 4, flags 4, guest address 8, size 8, host address 8.
    var region = [UInt8](repeating: 0, count: 32)
    region.setInteger(UInt32(slot), at: 0)
    region.setInteger(flags, at: 4)
    region.setInteger(range.guestAddress, at: 8)
    region.setInteger(range.byteCount, at: 16)
    region.setInteger(UInt64(range.hostAddress), at: 24)
    try handle.exchange(.setUserMemoryRegion, &region)
  }

  /// A second descriptor of the VM: it keeps the VM (and, with SEV, its context), and is what MOVE
  /// takes its source from. Calls on it work only in this process.
  public func duplicateDescriptor() throws(SystemError) -> OwnedDescriptor {
    try handle.descriptor.duplicate()
  }

  /// Whether this host does what it is told about a TSC offset; found out by setting one and reading
  /// it back. Only before the guest has run.
  public func honoursTSCOffset() -> Bool {
    guard let first = vcpus.first, let before = first.readTSCOffset() else { return false }
    let isHonoured = first.setTSCOffset(before &- 1_000_000)
    // All get the same one again: vCPUs whose TSCs KVM does not see set together cost the guest its
    // stable clock, and with it the real time that KVM_GET_CLOCK tells.
    for vcpu in vcpus { vcpu.setTSCOffset(before) }
    return isHonoured
  }

  /// Reads everything, with no vCPU running: each vCPU, then clock, interrupt controllers and PIT, then
  /// each vCPU's TSC offset.
  public func save() throws(KVMError) -> (vcpus: [KVMVCPUState], board: KVMBoardState) {
    var states: [KVMVCPUState] = []
    for vcpu in vcpus { states.append(try vcpu.save()) }
    let clock = try handle.get(.getClock, byteCount: KVMBoardState.Size.clock)
    var irqchips: [[UInt8]] = []
    for chip in 0..<KVMBoardState.irqchipCount {
      var state = [UInt8](repeating: 0, count: KVMBoardState.Size.irqchip)
      state.setInteger(UInt32(chip), at: 0)
      try handle.exchange(.getIRQChip, &state)
      irqchips.append(state)
    }
    let pit = try handle.get(.getPIT2, byteCount: KVMBoardState.Size.pit)
    for (index, vcpu) in vcpus.enumerated() { states[index].tscOffset = vcpu.readTSCOffset() }
    return (states, KVMBoardState(clock: clock, irqchips: irqchips, pit: pit))
  }

  /// Writes everything, with no vCPU running: each vCPU, then interrupt controllers, PIT and clock, then
  /// each vCPU's TSC offset. Writes no guest RAM: what does is left to ``attachMemory(_:)``.
  ///
  /// - Returns: Whether every TSC offset reads back as it was set.
  public func restore(
    vcpus states: [KVMVCPUState], board: KVMBoardState
  ) throws(KVMError) -> Bool {
    for (vcpu, state) in zip(vcpus, states) { try vcpu.restore(state) }
    for chip in board.irqchips {
      try handle.set(.setIRQChip, chip, byteCount: KVMBoardState.Size.irqchip)
    }
    try handle.set(.setPIT2, board.pit, byteCount: KVMBoardState.Size.pit)
    try handle.set(.setClock, board.clockToSet, byteCount: KVMBoardState.Size.clock)
    var offsetsAreRight = true
    for (vcpu, state) in zip(vcpus, states) {
      if try !vcpu.restoreTimeOffset(state) { offsetsAreRight = false }
    }
    return offsetsAreRight
  }

  /// Shows KVM the places in guest memory that it writes (the clock), and notes that the guest was
  /// paused. The last step before the guest runs, with the right to run it.
  public func attachMemory(_ states: [KVMVCPUState]) throws(KVMError) {
    for (vcpu, state) in zip(vcpus, states) { try vcpu.attachMemory(state) }
    for vcpu in vcpus { _ = try vcpu.noteGuestPaused() }
  }
}
