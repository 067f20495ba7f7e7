import SEVABI

/// A machine with SEV: KVM's side of the interface and the firmware behind it, as a value.
///
/// The kernel is one of June 2021 with the local-migration patches (version 1) on top: commands 22 and 23 are
/// LOCAL_SEND and LOCAL_RECEIVE. Requests are started by the methods that return a ``Step``.
public struct ModelHost: Sendable {
  public let configuration: ModelConfiguration
  var machines: [VirtualMachineID: VirtualMachine] = [:]
  var staged = StagingTable()
  var asids: ASIDPool
  var firmware: Firmware
  var random: any RandomSource
  private var nextMachine: UInt64 = 1

  public init(
    configuration: ModelConfiguration = ModelConfiguration(),
    random: any RandomSource = SystemRandomSource(), identity: PlatformIdentity = PlatformIdentity()
  ) {
    self.configuration = configuration
    self.random = random
    asids = ASIDPool(
      encryptedStateCount: configuration.encryptedStateASIDCount, count: configuration.asidCount)
    firmware = Firmware(version: configuration.firmwareVersion, asids: asids, identity: identity)
    // The driver initialises the platform and flushes the data fabric when it is loaded.
    firmware.initializePlatform()
    firmware.flush()
  }

  /// Makes a plain VM, as `KVM_CREATE_VM` does, that only `creator` can use.
  public mutating func makeMachine(creator: AddressSpaceID) -> VirtualMachineID {
    let id = VirtualMachineID(rawValue: nextMachine)
    nextMachine += 1
    machines[id] = VirtualMachine(creator: creator)
    return id
  }

  /// How many VMs exist.
  public var machineCount: Int { machines.count }
  /// How many guests the firmware has contexts of.
  public var guestCount: Int { firmware.guestCount }

  /// How many more guests without encrypted state can have an ASID.
  public var freeASIDCount: Int { asids.freeCount(encryptedState: false) }

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
    guard let machine = machines[id], machine.creator == caller.addressSpace else {
      return .finished(.inputOutput)
    }
    guard configuration.isEnabled else { return .finished(.notSupported) }
    guard argument != 0 else { return .finished(nil) }
    return .read(address: argument, count: SEVCommandBlock.byteCount) { host, bytes in
      guard let bytes, let block = SEVCommandBlock(bytes: bytes) else { return .finished(.badAddress) }
      return host.dispatch(Command(machine: id, caller: caller, address: argument, block: block))
    }
  }

  private mutating func dispatch(_ command: Command) -> Step {
    guard let machine = machines[command.machine] else { return .finished(.inputOutput) }
    let id = SEVCommandID(rawValue: command.block.id)
    if machine.sent != nil, id != .debugDecrypt, id != .debugEncrypt {
      return .finished(.notPermitted)
    }
    guard let id else { return .finished(.invalidArgument) }
    switch id {
    case .initialize: return initialize(command, encryptedState: false)
    case .esInitialize: return initialize(command, encryptedState: true)
    case .launchStart: return launchStart(command)
    case .launchUpdateData: return launchUpdateData(command)
    case .launchUpdateVMSA: return launchUpdateVMSA(command)
    case .launchMeasure: return launchMeasure(command)
    case .launchFinish: return launchFinish(command)
    case .guestStatus: return guestStatus(command)
    case .debugDecrypt, .debugEncrypt: return debug(command)
    case .localSend: return localSend(command)
    case .localReceive: return localReceive(command)
    case .sendUpdateVMSA, .receiveUpdateVMSA, .certificateExport:
      // Numbers without an implementation in any kernel.
      return .finished(.invalidArgument)
    case .launchSecret, .sendStart, .sendUpdateData, .sendFinish, .receiveStart, .receiveUpdateData,
      .receiveFinish, .getAttestationReport, .sendCancel:
      // Not part of this model, which therefore answers like a kernel that does not know them.
      return .finished(.invalidArgument)
    }
  }

  /// Ends a command that was dispatched: the block is written back whether it failed or not.
  func finish(_ command: Command, _ outcome: KernelError? = nil, undo: Undo? = nil) -> Step {
    .write(address: command.address, bytes: command.block.bytes) { _, written in
      .finished(written ? outcome : .badAddress, undo: outcome == nil ? undo : nil)
    }
  }

  /// Ends a command that the firmware refused.
  func finish(_ command: Command, refusedBy status: FirmwareStatus) -> Step {
    var command = command
    command.block.error = status.rawValue
    return finish(command, .inputOutput)
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

  /// Looks the firmware device up in the caller's table, as every firmware command does, and goes on or fails
  /// with EBADF.
  func withFirmware(
    _ command: Command, descriptor: Int32, then: @escaping @Sendable (inout ModelHost) -> Step
  ) -> Step {
    .findFirmware(descriptor: descriptor) { host, isFirmware in
      isFirmware ? then(&host) : host.finish(command, .badDescriptor)
    }
  }

  /// The SEV guest that a command is for; nothing if the VM is none (ENOTTY).
  func guest(_ command: Command) -> VirtualMachine? {
    guard let machine = machines[command.machine], machine.isActive else { return nil }
    return machine
  }

  // MARK: INIT

  private mutating func initialize(_ command: Command, encryptedState: Bool) -> Step {
    guard var machine = machines[command.machine] else { return .finished(.inputOutput) }
    if encryptedState, configuration.encryptedStateASIDCount == 0 {
      return finish(command, .notSupported)
    }
    guard !machine.isActive else { return finish(command, .busy) }
    do throws(KernelError) {
      machine.asid = try asids.allocate(encryptedState: encryptedState) { firmware.flush() }
    } catch {
      return finish(command, error)
    }
    machine.isActive = true
    machine.hasEncryptedState = encryptedState
    machines[command.machine] = machine
    return finish(command)
  }
}
