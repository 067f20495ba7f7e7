public import SEVABI

/// VMs and vCPUs: what `/dev/kvm`, a VM and a vCPU answer about themselves.
extension ModelHost {
  private static let maximumVCPUCount = 1024
  private static let vcpuNumberLimit: UInt32 = 4096

  // MARK: VMs

  /// Makes a plain VM of the default type, as `KVM_CREATE_VM` does, that only `creator` can use.
  public mutating func makeMachine(creator: AddressSpaceID) -> VirtualMachineID {
    makeMachine(.standard, creator: creator)
  }

  /// `KVM_CREATE_VM` with a machine type.
  ///
  /// - Parameter type: The ioctl's argument, the number of a ``MachineType``.
  /// - Throws: EINVAL for a type that the kernel does not have or that is not offered. SEV-SNP never is: it keeps
  ///   guest memory in a descriptor that is bound to its VM, so that nothing could be handed over.
  public mutating func makeMachine(
    type: UInt64, creator: AddressSpaceID
  ) throws(KernelError) -> VirtualMachineID {
    guard let known = MachineType(rawValue: type), machineTypes.contains(known) else {
      throw .invalidArgument
    }
    return makeMachine(known, creator: creator)
  }

  private mutating func makeMachine(_ type: MachineType, creator: AddressSpaceID) -> VirtualMachineID {
    let id = VirtualMachineID(rawValue: makeNumber())
    machines[id] = VirtualMachine(creator: creator, type: type)
    return id
  }

  /// The machine types that `KVM_CREATE_VM` takes.
  public var machineTypes: [MachineType] {
    guard configuration.profile.hasMachineTypes else { return [.standard] }
    var types: [MachineType] = [.standard, .softwareProtected]
    if configuration.isEnabled { types.append(.sev) }
    if configuration.offersEncryptedState { types.append(.sevES) }
    return types
  }

  /// The first check of every ioctl on a VM.
  ///
  /// - Throws: EIO for a VM whose context was moved away, or that another address space made.
  public func checkUse(of id: VirtualMachineID, caller: Caller) throws(KernelError) {
    guard usable(id, by: caller) != nil else { throw .inputOutput }
  }

  /// Sets how many ASIDs the processes of a cgroup may hold (`misc.max`), nil for no limit. What they hold already
  /// stays theirs.
  public mutating func limit(_ group: ControlGroupID, encryptedState: Bool, to count: UInt32?) {
    controlGroups.limit(group, encryptedState: encryptedState, to: count)
  }

  /// Whether a VM's context was moved away, so that every ioctl on it and its vCPUs is EIO.
  public func isDead(_ id: VirtualMachineID) -> Bool {
    machines[id]?.isDead ?? false
  }

  // MARK: What KVM says that it can

  /// `KVM_CHECK_EXTENSION` on `/dev/kvm`; nil where SEV has no part in the answer.
  ///
  /// The two capabilities to take a context from another VM are there also where SEV is off, as in the kernel.
  public func checkExtension(_ capability: UInt64) -> Int32? {
    let profile = configuration.profile
    guard let number = UInt32(exactly: capability), let known = KernelCapability(rawValue: number) else {
      return nil
    }
    switch known {
    case .userSpaceMSR: return nil
    case .copyEncryptionContext: return profile.hasMirrors ? 1 : 0
    case .moveEncryptionContext: return configuration.offersMove ? 1 : 0
    case .exitHypercall: return profile.hasExitHypercall ? Int32(1 << PageStatus.hypercall) : 0
    case .machineTypes:
      guard profile.hasMachineTypes else { return 0 }
      return machineTypes.reduce(0) { $0 | 1 << Int32($1.rawValue) }
    }
  }

  /// `KVM_CHECK_EXTENSION` on a VM.
  ///
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualMachineID,_)``.
  public func checkExtension(
    _ capability: UInt64, on id: VirtualMachineID, caller: Caller
  ) throws(KernelError) -> Int32? {
    try checkUse(of: id, caller: caller)
    return checkExtension(capability)
  }

  /// CPUID leaf 0x8000_001F as `KVM_GET_SUPPORTED_CPUID` gives it: whether there is SEV (EAX bit 1) and SEV-ES
  /// (bit 3), the place of the encryption bit and the address bits it costs (EBX), how many ASIDs there are
  /// (ECX), and the first one that is not SEV-ES's (EDX).
  public var memoryEncryptionCPUID: (eax: UInt32, ebx: UInt32, ecx: UInt32, edx: UInt32) {
    guard configuration.isEnabled else { return (0, 0, 0, 0) }
    let encryptionBit: UInt32 = 51
    let lostAddressBits: UInt32 = 5
    return (
      1 << 1 | (configuration.offersEncryptedState ? 1 << 3 : 0), encryptionBit | lostAddressBits << 6,
      asids.maximum, asids.smallestWithoutEncryptedState
    )
  }

  // MARK: vCPUs

  /// `KVM_CREATE_VCPU` in one go.
  ///
  /// - Parameter number: The ioctl's argument, the number that the VMM chose.
  /// - Throws: EIO as every ioctl on the VM; EINVAL for a number or a count that is too high; EEXIST for a number
  ///   in use.
  public mutating func makeVCPU(
    number: UInt32, on id: VirtualMachineID, caller: Caller
  ) throws(KernelError) -> VirtualCPUID {
    let vcpu = try beginVCPU(number: number, on: id, caller: caller)
    try completeVCPU(vcpu)
    return vcpu
  }

  /// The first half of `KVM_CREATE_VCPU`: the vCPU counts as created and is not online yet. While it stays so, the
  /// VM's context cannot be moved.
  public mutating func beginVCPU(
    number: UInt32, on id: VirtualMachineID, caller: Caller
  ) throws(KernelError) -> VirtualCPUID {
    guard let machine = usable(id, by: caller) else { throw .inputOutput }
    guard number < Self.vcpuNumberLimit, machine.createdVCPUCount < Self.maximumVCPUCount else {
      throw .invalidArgument
    }
    machines[id]?.createdVCPUCount += 1
    let vcpu = VirtualCPUID(rawValue: makeNumber())
    vcpus[vcpu] = VirtualCPU(machine: id, number: number)
    return vcpu
  }

  /// The second half: the vCPU is online, and its descriptor open.
  ///
  /// - Throws: EEXIST if another vCPU has the number; then it is as after ``abandonVCPU(_:)``.
  public mutating func completeVCPU(_ vcpu: VirtualCPUID) throws(KernelError) {
    guard let (id, number) = vcpus[vcpu].map({ ($0.machine, $0.number) }) else { throw .inputOutput }
    guard findVCPU(number: UInt64(number), of: id) == nil else {
      abandonVCPU(vcpu)
      throw .alreadyExists
    }
    vcpus[vcpu]?.isOnline = true
    machines[id]?.vcpus.append(vcpu)
    machines[id]?.openVCPUCount += 1
  }

  /// Takes the first half back.
  public mutating func abandonVCPU(_ vcpu: VirtualCPUID) {
    guard let gone = vcpus[vcpu], !gone.isOnline else { return }
    vcpus[vcpu] = nil
    machines[gone.machine]?.createdVCPUCount -= 1
  }

  /// The vCPU of a VM that has a number.
  func findVCPU(number: UInt64, of id: VirtualMachineID) -> VirtualCPUID? {
    machines[id]?.vcpus.first { vcpus[$0].map { UInt64($0.number) } == number }
  }

  /// The first check of every ioctl on a vCPU.
  ///
  /// - Throws: EIO for a vCPU of a VM whose context was moved away, or that another address space made.
  public func checkUse(of vcpu: VirtualCPUID, caller: Caller) throws(KernelError) {
    _ = try usableMachine(of: vcpu, caller: caller)
  }

  func usableMachine(of vcpu: VirtualCPUID, caller: Caller) throws(KernelError) -> VirtualMachine {
    guard let id = vcpus[vcpu]?.machine, let machine = usable(id, by: caller) else { throw .inputOutput }
    return machine
  }

  /// What `KVM_RUN` checks of SEV before the guest runs. A source whose context was sent away by LOCAL_SEND is
  /// *not* refused, as in the June 2021 patches.
  ///
  /// - Throws: EIO as every ioctl on the vCPU; EINVAL for a typed VM without INIT2, also for one that took its
  ///   context over from another VM, because a move leaves that mark behind.
  public func checkRun(_ vcpu: VirtualCPUID, caller: Caller) throws(KernelError) {
    let machine = try usableMachine(of: vcpu, caller: caller)
    guard !machine.needsInitialization else { throw .invalidArgument }
  }
}
