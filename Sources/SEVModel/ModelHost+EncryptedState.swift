public import SEVABI

/// What a SEV-ES guest asks of KVM by the GHCB protocol, as far as KVM remembers it: the state that a move takes
/// along, and the two things that it forgets.
extension ModelHost {
  /// The requests that fit into the GHCB MSR (0xC001_0130), by its low 12 bits.
  private enum MSRRequest {
    static let mask: UInt64 = 0xFFF
    static let block: UInt64 = 0x000
    static let informationAnswer: UInt64 = 0x001
    static let information: UInt64 = 0x002
    static let resetHold: UInt64 = 0x006
  }

  private static let encryptionBit: UInt64 = 51
  private static let oldestCommunicationVersion: UInt64 = 1

  /// A request that a guest makes through its communication block (GHCB).
  public enum BlockRequest: Hashable, Sendable {
    /// Keeps the address of the table by which the guest starts its other vCPUs.
    case setJumpTable(UInt64)
    case jumpTable
    /// The vCPU waits to be started.
    case resetHold
  }

  /// What starting a vCPU (SIPI) comes to.
  public enum StartOutcome: Hashable, Sendable {
    /// The first one: the vCPU runs with the state that the VMM set before the launch.
    case initialState
    /// It returns from a reset hold that it asked for through its communication block.
    case returnsFromExit
    /// It returns from a reset hold that it asked for by MSR.
    case returnsFromMSR
    case ignored
  }

  /// The guest writes the GHCB MSR and exits.
  ///
  /// - Returns: What it reads there when it goes on. For SEV information: newest and oldest version of the protocol
  ///   and the encryption bit. After a move of a VM on a kernel with INIT2 the newest version is 0, because the
  ///   move leaves it behind.
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``; EINVAL for a guest without SEV-ES, or a request
  ///   that KVM does not remember.
  public mutating func writeCommunicationMSR(
    _ value: UInt64, on vcpu: VirtualCPUID, caller: Caller
  ) throws(KernelError) -> UInt64 {
    let machine = try encryptedStateMachine(of: vcpu, caller: caller)
    switch value & MSRRequest.mask {
    case MSRRequest.block:
      vcpus[vcpu]?.encryptedState.communicationBlock = value
      return value
    case MSRRequest.information:
      let newest =
        configuration.profile.hasMachineTypes
        ? UInt64(machine.ghcbVersion) : Self.oldestCommunicationVersion
      return newest << 48 | Self.oldestCommunicationVersion << 32 | Self.encryptionBit << 24
        | MSRRequest.informationAnswer
    case MSRRequest.resetHold:
      vcpus[vcpu]?.encryptedState.resetHold = .msr
      return value
    default: throw .invalidArgument
    }
  }

  /// The address of a vCPU's communication block, nil if the guest gave none.
  ///
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``.
  public func communicationBlock(
    of vcpu: VirtualCPUID, caller: Caller
  ) throws(KernelError) -> UInt64? {
    try checkUse(of: vcpu, caller: caller)
    return vcpus[vcpu]?.encryptedState.communicationBlock
  }

  /// The guest makes a request through its communication block.
  ///
  /// - Returns: What the guest reads as the second word of exit information. A move forgets the jump table: it is 0
  ///   afterwards.
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``; EINVAL for a guest without SEV-ES, or without a
  ///   communication block.
  public mutating func request(
    _ request: BlockRequest, on vcpu: VirtualCPUID, caller: Caller
  ) throws(KernelError) -> UInt64 {
    let machine = try encryptedStateMachine(of: vcpu, caller: caller)
    guard let id = vcpus[vcpu]?.machine, vcpus[vcpu]?.encryptedState.communicationBlock != nil else {
      throw .invalidArgument
    }
    switch request {
    case .setJumpTable(let address):
      machines[id]?.applicationProcessorJumpTable = address
      return 0
    case .jumpTable: return machine.applicationProcessorJumpTable
    case .resetHold:
      vcpus[vcpu]?.encryptedState.resetHold = .exit
      return 0
    }
  }

  /// Starts a SEV-ES vCPU (SIPI).
  ///
  /// - Throws: EIO as ``checkUse(of:caller:)-(VirtualCPUID,_)``; EINVAL for a guest without SEV-ES.
  public mutating func start(_ vcpu: VirtualCPUID, caller: Caller) throws(KernelError) -> StartOutcome {
    _ = try encryptedStateMachine(of: vcpu, caller: caller)
    guard let state = vcpus[vcpu]?.encryptedState else { throw .inputOutput }
    guard state.receivedFirstStart else {
      vcpus[vcpu]?.encryptedState.receivedFirstStart = true
      return .initialState
    }
    switch state.resetHold {
    case .none: return .ignored
    case .exit: return .returnsFromExit
    case .msr: return .returnsFromMSR
    }
  }

  private func encryptedStateMachine(
    of vcpu: VirtualCPUID, caller: Caller
  ) throws(KernelError) -> VirtualMachine {
    let machine = try usableMachine(of: vcpu, caller: caller)
    guard machine.isActive, machine.hasEncryptedState else { throw .invalidArgument }
    return machine
  }
}
