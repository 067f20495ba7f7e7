import SEVABI

/// A machine with SEV: KVM's side of the interface and the firmware behind it, as a value.
///
/// Which kernel it is says ``ModelConfiguration/profile``. Requests are started by the methods that return a
/// ``Step``; what needs nothing of the caller's process is done at once.
public struct ModelHost: Sendable {
  public let configuration: ModelConfiguration
  var machines: [VirtualMachineID: VirtualMachine] = [:]
  var vcpus: [VirtualCPUID: VirtualCPU] = [:]
  var staged = StagingTable()
  var asids: ASIDPool
  var controlGroups = ControlGroups()
  var firmware: Firmware
  var random: any RandomSource
  private var nextNumber: UInt64 = 1

  public init(
    configuration: ModelConfiguration = ModelConfiguration(),
    random: any RandomSource = SystemRandomSource(), identity: PlatformIdentity = PlatformIdentity()
  ) {
    self.configuration = configuration
    self.random = random
    asids = ASIDPool(
      encryptedStateCount: configuration.encryptedStateASIDCount, count: configuration.asidCount)
    firmware = Firmware(version: configuration.firmwareVersion, asids: asids, identity: identity)
    if let older = configuration.platformVersion { try? firmware.makePlatformKeys(by: older) }
    // What the driver does when it is loaded. A firmware that was just made refuses none of it.
    if configuration.processor != .absent { try? firmware.initializeIfNeeded() }
    firmware.mailbox = Mailbox(configuration.processor)
  }

  /// A number that no VM and no vCPU has had.
  mutating func makeNumber() -> UInt64 {
    defer { nextNumber += 1 }
    return nextNumber
  }

  /// How many VMs exist.
  public var machineCount: Int { machines.count }
  /// How many guests the firmware has contexts of.
  public var guestCount: Int { firmware.guestCount }

  /// How many more guests without encrypted state can have an ASID.
  public var freeASIDCount: Int { asids.freeCount(encryptedState: false) }
  /// How many more SEV-ES guests can have an ASID.
  public var freeEncryptedStateASIDCount: Int { asids.freeCount(encryptedState: true) }

  // MARK: KVM_MEMORY_ENCRYPT_OP

  /// A command whose block was read.
  struct Command: Sendable {
    let machine: VirtualMachineID
    let caller: Caller
    /// The user address of the command block.
    let address: UInt64
    var block: SEVCommandBlock
  }

  /// `KVM_MEMORY_ENCRYPT_OP` on a VM.
  ///
  /// - Parameter argument: The ioctl's argument, the user address of a ``SEVCommandBlock``.
  public func memoryEncryptOperation(
    on id: VirtualMachineID, argument: UInt64, caller: Caller
  ) -> Step {
    guard usable(id, by: caller) != nil else { return .finished(.inputOutput) }
    guard configuration.isEnabled else { return .finished(.notSupported) }
    guard argument != 0 else { return .finished(nil) }
    return .read(address: argument, count: SEVCommandBlock.byteCount) { host, bytes in
      guard let bytes, let block = SEVCommandBlock(bytes: bytes) else { return .finished(.badAddress) }
      return host.dispatch(Command(machine: id, caller: caller, address: argument, block: block))
    }
  }

  /// The checks between the copy of the command block and the command: mirror, then the gate of a sent source.
  private mutating func dispatch(_ command: Command) -> Step {
    guard let machine = machines[command.machine] else { return .finished(.inputOutput) }
    let number = command.block.id
    let id = SEVCommandID(rawValue: number)
    if machine.isMirror, !isOpenToMirrors(id) { return .finished(.invalidArgument) }
    if machine.sent != nil, id != .debugDecrypt, id != .debugEncrypt { return .finished(.notPermitted) }
    if configuration.profile.hasMachineTypes, number == SEVCommandID.initialize2Number {
      return initialize2(command)
    }
    guard let id else { return .finished(.invalidArgument) }
    switch id {
    case .initialize: return initialize(command, encryptedState: false)
    case .esInitialize: return initialize(command, encryptedState: true)
    case .launchStart: return launchStart(command)
    case .launchUpdateData: return launchUpdateData(command)
    case .launchUpdateVMSA: return launchUpdateVMSA(command)
    case .launchSecret: return launchSecret(command)
    case .launchMeasure: return launchMeasure(command)
    case .launchFinish:
      return finishState(command) { host, handle throws(FirmwareStatus) in
        try host.firmware.launchFinish(handle)
      }
    case .sendStart: return sendStart(command)
    case .sendUpdateData: return sendUpdateData(command)
    case .sendFinish:
      return finishState(command) { host, handle throws(FirmwareStatus) in
        try host.firmware.sendFinish(handle)
      }
    case .sendCancel where configuration.profile.hasSendCancel:
      return finishState(command) { host, handle throws(FirmwareStatus) in
        try host.firmware.sendCancel(handle)
      }
    case .receiveStart: return receiveStart(command)
    case .receiveUpdateData: return receiveUpdateData(command)
    case .receiveFinish:
      return finishState(command) { host, handle throws(FirmwareStatus) in
        try host.firmware.receiveFinish(handle)
      }
    case .guestStatus: return guestStatus(command)
    case .debugDecrypt: return debug(command, decrypts: true)
    case .debugEncrypt: return debug(command, decrypts: false)
    case .getAttestationReport: return attestationReport(command)
    case .localSend where configuration.profile.hasLocalMigration: return localSend(command)
    case .localReceive where configuration.profile.hasLocalMigration: return localReceive(command)
    case .sendUpdateVMSA where configuration.firmwareVMSA: return sendUpdateVMSA(command)
    case .receiveUpdateVMSA where configuration.firmwareVMSA: return receiveUpdateVMSA(command)
    case .sendUpdateVMSA, .receiveUpdateVMSA, .certificateExport:
      // Numbers without an implementation in any kernel.
      return .finished(.invalidArgument)
    case .sendCancel, .localSend, .localReceive:
      // Numbers that this kernel does not know.
      return .finished(.invalidArgument)
    }
  }

  private func isOpenToMirrors(_ id: SEVCommandID?) -> Bool {
    guard configuration.profile.givesMirrorsCommands else { return false }
    return id == .launchUpdateVMSA || id == .guestStatus || id == .debugDecrypt || id == .debugEncrypt
  }

  // MARK: What commands have in common

  /// Ends a command that was dispatched: the block is written back whether it failed or not.
  func finish(_ command: Command, _ outcome: KernelError? = nil, undo: Undo? = nil) -> Step {
    .write(address: command.address, bytes: command.block.bytes) { _, written in
      .finished(written ? outcome : .badAddress, undo: outcome == nil ? undo : nil)
    }
  }

  /// Ends a command that the firmware refused, or did not answer.
  func finish(_ command: Command, refusedBy status: FirmwareStatus) -> Step {
    var command = command
    let outcome = firmware.mailbox.outcome(of: status, error: &command.block.error)
    return finish(command, outcome)
  }

  /// Copies a command's own struct in and goes on with it, or fails with EFAULT.
  func readParameters<Parameters: KernelStructure>(
    _ command: Command, as type: Parameters.Type,
    then: @escaping @Sendable (inout ModelHost, Parameters) -> Step
  ) -> Step {
    .read(address: command.block.data, count: Parameters.byteCount) { host, bytes in
      guard let bytes, let parameters = Parameters(bytes: bytes) else {
        return host.finish(command, .badAddress)
      }
      return then(&host, parameters)
    }
  }

  /// Copies a command's own struct out and ends the command; a failed copy ends it with EFAULT.
  func writeAnswer(_ command: Command, _ bytes: [UInt8], outcome: KernelError?) -> Step {
    .write(address: command.block.data, bytes: bytes) { host, written in
      host.finish(command, written ? outcome : .badAddress)
    }
  }

  /// Looks the firmware device up in the caller's table, as every firmware command does, and goes on or fails
  /// with EBADF.
  func withFirmware(
    _ command: Command, descriptor: Int32, then: @escaping @Sendable (inout ModelHost) -> Step
  ) -> Step {
    .findFirmware(descriptor: descriptor) { host, isFirmware in
      isFirmware ? then(&host) : host.finish(command, .badDescriptor)
    }
  }

  /// Calls the firmware by the descriptor that the VM keeps, and goes on with what it gives and the command
  /// marked as successful; a refusal ends the command with EIO.
  func callFirmware<Result: Sendable>(
    _ command: Command,
    _ call: @escaping @Sendable (inout ModelHost, UInt32) throws(FirmwareStatus) -> Result,
    then: @escaping @Sendable (inout ModelHost, Command, Result) -> Step
  ) -> Step {
    guard let machine = guest(command) else { return finish(command, .notSupported) }
    return withFirmware(command, descriptor: machine.firmwareDescriptor) { host in
      do throws(FirmwareStatus) {
        let result = try call(&host, machine.handle)
        var command = command
        command.block.error = FirmwareStatus.success.rawValue
        return then(&host, command, result)
      } catch {
        return host.finish(command, refusedBy: error)
      }
    }
  }

  /// A command that only moves the firmware's guest to its next state.
  private func finishState(
    _ command: Command, _ call: @escaping @Sendable (inout ModelHost, UInt32) throws(FirmwareStatus) -> Void
  ) -> Step {
    callFirmware(command, call) { host, command, _ in host.finish(command) }
  }

  /// The SEV guest that a command is for; nothing if the VM is none (ENOTTY).
  func guest(_ command: Command) -> VirtualMachine? {
    guard let machine = machines[command.machine], machine.isActive else { return nil }
    return machine
  }

  /// The VM, if it lives and the caller made it; every ioctl on any other is EIO.
  func usable(_ id: VirtualMachineID, by caller: Caller) -> VirtualMachine? {
    guard let machine = machines[id], !machine.isDead, machine.creator == caller.addressSpace else {
      return nil
    }
    return machine
  }
}
