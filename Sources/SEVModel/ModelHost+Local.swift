import SEVABI

/// LOCAL_SEND and LOCAL_RECEIVE of the June 2021 patches, version 1.
extension ModelHost {
  /// Whether only the second patch of three is there, which refuses SEV-ES guests.
  private func refusesEncryptedState(of machine: VirtualMachine) -> Bool {
    configuration.localMigrationWithoutEncryptedState && machine.hasEncryptedState
  }

  func localSend(_ command: Command) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    guard !refusesEncryptedState(of: machine) else { return finish(command, .notPermitted) }
    // What is there is ignored, but it must be readable.
    return .read(address: command.block.data, count: LocalSendParameters.byteCount) { host, bytes in
      guard bytes != nil else { return host.finish(command, .badAddress) }
      return host.stage(command)
    }
  }

  private mutating func stage(_ command: Command) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    let context = StagedContext(
      asid: machine.asid, handle: machine.handle, lockedPages: machine.lockedPages,
      regions: machine.regions, controlGroup: machine.controlGroup,
      hasEncryptedState: machine.hasEncryptedState,
      registerStates: machine.hasEncryptedState ? registerStates(of: machine) : [],
      applicationProcessorJumpTable: machine.applicationProcessorJumpTable)
    guard let id = staged.insert(context, random: &random) else { return finish(command, .badAddress) }
    machines[command.machine]?.regions = []
    for vcpu in machine.vcpus where machine.hasEncryptedState { takeEncryptedState(of: vcpu) }
    // From here on the token can be received, though the source does not know it yet.
    return .write(address: command.block.data, bytes: Self.bytes(of: id)) { host, written in
      guard written else {
        host.restore(id, to: command.machine)
        return host.finish(command, .badAddress)
      }
      host.machines[command.machine]?.sent = id
      return host.finish(command, undo: .localSend(command.machine))
    }
  }

  private func registerStates(of machine: VirtualMachine) -> [StagedContext.RegisterState] {
    machine.vcpus.compactMap { id in
      vcpus[id].map { StagedContext.RegisterState(number: $0.number, state: $0.encryptedState) }
    }
  }

  /// Leaves a vCPU without its own state. Its registers stay out of the VMM's reach.
  private mutating func takeEncryptedState(of vcpu: VirtualCPUID) {
    let isProtected = vcpus[vcpu]?.encryptedState.isProtected ?? false
    vcpus[vcpu]?.encryptedState = EncryptedState(isProtected: isProtected)
  }

  private static func bytes(of id: StagedContextID) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: LocalSendParameters.byteCount)
    var span = bytes.mutableSpan
    span.store(id.token, at: LocalSendParameters.tokenOffset)
    return bytes
  }

  /// Gives a staged context back to its source, unless it was received meanwhile: then the entry stays, as
  /// after a send that succeeded, and the source keeps nothing.
  @discardableResult
  private mutating func restore(_ id: StagedContextID, to source: VirtualMachineID) -> Bool {
    guard let context = staged[id], context.isValid else {
      machines[source]?.sent = id
      return false
    }
    staged[id] = nil
    // A region may have been registered after the send; it stays.
    machines[source]?.regions.insert(contentsOf: context.regions, at: 0)
    machines[source]?.sent = nil
    put(context.registerStates, into: source)
    return true
  }

  /// Gives vCPUs the states of those with the same numbers.
  private mutating func put(_ states: [StagedContext.RegisterState], into id: VirtualMachineID) {
    for entry in states {
      guard let vcpu = findVCPU(number: UInt64(entry.number), of: id) else { continue }
      vcpus[vcpu]?.encryptedState = entry.state
    }
  }

  // MARK: LOCAL_RECEIVE

  func localReceive(_ command: Command) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    guard !refusesEncryptedState(of: machine), machine.handle == 0, machine.regions.isEmpty else {
      return finish(command, .notPermitted)
    }
    return .read(address: command.block.data, count: LocalReceiveParameters.byteCount) { host, bytes in
      guard let bytes else { return host.finish(command, .badAddress) }
      let token = bytes.span.uint64(at: LocalReceiveParameters.tokenOffset)
      return host.receive(command, token: token)
    }
  }

  private mutating func receive(_ command: Command, token: UInt64) -> Step {
    guard let before = guest(command) else { return finish(command, .notSupported) }
    guard let (id, context) = staged.valid(token) else { return finish(command, .badAddress) }
    // The patches do not check this and would bind an ASID to a guest of the other kind.
    guard context.hasEncryptedState == before.hasEncryptedState else { return finish(command, .notPermitted) }
    let hasEveryVCPU = context.registerStates.allSatisfy {
      findVCPU(number: UInt64($0.number), of: command.machine) != nil
    }
    guard hasEveryVCPU else { return finish(command, .badAddress) }
    staged[id]?.isValid = false
    var machine = before
    machine.asid = context.asid
    machine.handle = context.handle
    machine.lockedPages = context.lockedPages
    machine.regions = context.regions
    machine.controlGroup = context.controlGroup
    machine.applicationProcessorJumpTable = context.applicationProcessorJumpTable
    machines[command.machine] = machine
    put(context.registerStates, into: command.machine)

    var answer = [UInt8](repeating: 0, count: LocalReceiveParameters.byteCount)
    var span = answer.mutableSpan
    span.store(token, at: LocalReceiveParameters.tokenOffset)
    span.store(context.handle, at: LocalReceiveParameters.handleOffset)
    let own = OwnIdentity(asid: before.asid, controlGroup: before.controlGroup)
    return .write(address: command.block.data, bytes: answer) { host, written in
      guard written else {
        host.giveBack(id, from: command.machine, own: own)
        return host.finish(command, .badAddress)
      }
      host.asids.free(own.asid)
      host.controlGroups.uncharge(own.controlGroup, encryptedState: before.hasEncryptedState)
      return host.finish(command, undo: .localReceive(command.machine, from: id, own: own))
    }
  }

  /// Makes a received context receivable again and gives the target its own identity back. The patches forget
  /// the vCPUs' states here; the model does not.
  private mutating func giveBack(
    _ id: StagedContextID, from target: VirtualMachineID, own: OwnIdentity
  ) {
    guard var machine = machines[target] else { return }
    if var context = staged[id] {
      context.isValid = true
      context.regions = machine.regions
      context.lockedPages = machine.lockedPages
      staged[id] = context
    } else {
      // The source was destroyed while the answer was on its way; nobody is left to hold the key.
      discard(machine.handle)
      asids.free(machine.asid)
      controlGroups.uncharge(machine.controlGroup, encryptedState: machine.hasEncryptedState)
    }
    machine.asid = own.asid
    machine.controlGroup = own.controlGroup
    machine.handle = 0
    machine.lockedPages = 0
    machine.regions = []
    machine.applicationProcessorJumpTable = 0
    for vcpu in machine.vcpus { vcpus[vcpu]?.encryptedState = EncryptedState() }
    machines[target] = machine
  }

  // MARK: Undoing

  /// Takes a finished command back because its results could not be delivered to the caller after all, as KVM
  /// does when it cannot copy them out.
  ///
  /// Something may have happened since: the token was received by another VM, or the target's ASID went to
  /// somebody else. Then the command stays done, as it does in KVM when the later copy of the command block
  /// fails. The caller sees EFAULT either way.
  ///
  /// - Returns: Whether it was taken back.
  @discardableResult
  public mutating func undo(_ undo: Undo) -> Bool {
    switch undo {
    case .launchStart(let id, let handle, let previousHandle, let previousDescriptor),
      .receiveStart(let id, let handle, let previousHandle, let previousDescriptor):
      guard machines[id]?.handle == handle, machines[id]?.sent == nil,
        machines[id]?.mirrors.isEmpty == true
      else { return false }
      discard(handle)
      machines[id]?.handle = previousHandle
      machines[id]?.firmwareDescriptor = previousDescriptor
      return true
    case .localSend(let id):
      guard let token = machines[id]?.sent else { return false }
      return restore(token, to: id)
    case .localReceive(let id, let token, let own):
      guard let machine = machines[id], !machine.isDead, machine.sent == nil, machine.mirrors.isEmpty,
        staged[token]?.isValid == false, machine.handle == staged[token]?.handle, asids.reclaim(own.asid)
      else { return false }
      controlGroups.recharge(own.controlGroup, encryptedState: machine.hasEncryptedState)
      giveBack(token, from: id, own: own)
      return true
    }
  }
}
