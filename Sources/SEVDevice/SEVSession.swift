import CLinux
import Glibc
public import LinuxOS
public import SEVABI

/// A way to send SEV commands, for one thread: a request connection to the model, or the kernel's ioctls.
///
/// Make one session in each thread that sends commands, before the time matters; its calls need exclusive
/// access and block until the command is done. A VM may be used through any session of the process that made
/// it, and through none of another process (EIO): neither a forked child's nor one's own after exec.
public struct SEVSession: ~Copyable, Sendable {
  enum Place: ~Copyable, Sendable {
    case kernel
    case model(ModelConnection)
  }

  let place: Place
  let area = ArgumentArea()
  /// What the model said about itself, once it was asked.
  var description: ModelDescription?

  init(place: consuming Place) {
    self.place = place
  }

  // MARK: Descriptors

  /// Makes a VM of the model. With the kernel, VMs come from `/dev/kvm`, so that there this fails with
  /// ENOTTY.
  ///
  /// The descriptor may be passed to other processes: the VM lives until its last duplicate, and the last one
  /// of each of its vCPUs, is closed.
  ///
  /// - Parameter type: A VM of a type other than `standard` needs INIT2 and cannot run after a move.
  /// - Throws: EINVAL for a type that the modelled kernel does not offer; ENFILE when the model has no room.
  public mutating func makeMachine(
    type: MachineType = .standard
  ) throws(SEVError) -> OwnedDescriptor {
    switch place {
    case .kernel: throw SEVError(.makeMachine, code: ENOTTY)
    case .model(let connection):
      return try connection.make(.makeMachine, detail: type.rawValue, for: .makeMachine)
    }
  }

  /// Makes a vCPU of the model, which stands beside the real or software one. With the kernel, vCPUs come
  /// from `KVM_CREATE_VCPU`, so that there this fails with ENOTTY.
  ///
  /// A SEV-ES guest needs one for each of its vCPUs, with the same numbers in the same order in every VM that
  /// it is to move to.
  ///
  /// - Throws: EEXIST for a number that is in use; EIO for a VM of another address space or one whose context
  ///   was moved away.
  public mutating func makeVCPU(
    _ number: UInt32, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) -> OwnedDescriptor {
    switch place {
    case .kernel: throw SEVError(.makeVCPU, code: ENOTTY)
    case .model(let connection):
      return try connection.make(.makeVCPU, on: machine.number, detail: UInt64(number), for: .makeVCPU)
    }
  }

  /// Opens the firmware device: `/dev/sev`, or the model's.
  ///
  /// LAUNCH_START is given its number, and the VM keeps that *number*: the descriptor must stay open there as
  /// long as the VM is given firmware commands. For a VM that received its guest see ``openFirmware(at:)``.
  ///
  /// - Parameter forWriting: Commands that change the platform's identity need a descriptor opened for
  ///   writing.
  public mutating func openFirmware(forWriting: Bool = true) throws(SEVError) -> OwnedDescriptor {
    switch place {
    case .kernel:
      do throws(SystemError) {
        return try Files.open("/dev/sev", forWriting ? .readWrite : .readOnly)
      } catch {
        throw SEVError(.openFirmware, code: error.code)
      }
    case .model(let connection):
      return try connection.make(.openFirmware, detail: forWriting ? 1 : 0, for: .openFirmware)
    }
  }

  /// Opens the firmware device at a descriptor number of one's choice, replacing what was there, for the rest
  /// of the process's life.
  ///
  /// Neither LOCAL_RECEIVE nor a move sets the number that a VM keeps, so that it is 0: a successor that asks
  /// for the guest's status, debugs it or sends it to another host needs the device at number 0, else these
  /// commands fail with EBADF.
  public mutating func openFirmware(at number: Int32) throws(SEVError) {
    let firmware = try openFirmware()
    if firmware.number == number {
      _ = firmware.release()
      return
    }
    let status = clinux_duplicate_onto(firmware.number, number)
    guard status >= 0 else { throw SEVError(.openFirmware, code: -status) }
    _ = clinux_set_close_on_exec(number, 1)
  }

  // MARK: Requests

  /// Sends the command in ``area``.
  ///
  /// - Parameters:
  ///   - number: The command's.
  ///   - parameterByteCount: Bytes of the command's own struct, which is in ``area`` already.
  ///   - pins: Whether the command pins memory.
  /// - Returns: 0 or the errno. The area holds what the kernel wrote.
  func send(
    _ number: UInt32, parameterByteCount: Int, pins: Bool, on machine: borrowing OwnedDescriptor,
    firmware: Int32, for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    area.storeBlock(
      SEVCommandBlock(
        id: number, data: parameterByteCount > 0 ? area.parameterAddress : 0,
        error: FirmwareStatus.neverCalled.rawValue, firmwareDescriptor: firmware))
    return try send(
      .memoryEncryptOperation, on: machine, parameterByteCount: parameterByteCount, pins: pins, for: attempt)
  }

  func send(
    _ id: SEVCommandID, on machine: borrowing OwnedDescriptor, firmware: Int32
  ) throws(SEVError) -> Int32 {
    try send(
      id.rawValue, parameterByteCount: id.parameterByteCount, pins: id.pinsMemory, on: machine,
      firmware: firmware, for: .command(id))
  }

  func check(_ code: Int32, _ attempt: SEVError.Attempt) throws(SEVError) {
    guard code == 0 else { throw Self.failure(attempt, code: code, status: area.firmwareStatus) }
  }

  /// The error of a command that failed.
  ///
  /// - Parameter status: What the kernel left in the command block. It says something only of EIO, and only if
  ///   the firmware was called and refused.
  static func failure(_ attempt: SEVError.Attempt, code: Int32, status: UInt32) -> SEVError {
    let isFirmwareRefusal =
      code == EIO && status != FirmwareStatus.neverCalled.rawValue
      && status != FirmwareStatus.success.rawValue
    return SEVError(attempt, code: code, firmwareStatus: isFirmwareRefusal ? status : nil)
  }

  /// Issues a command whose struct `parameters` is; what the kernel writes back is in it afterwards, also
  /// when the command fails.
  ///
  /// - Parameters:
  ///   - machine: The VM, of this process.
  ///   - firmware: The number of an open firmware device; only LAUNCH_START and RECEIVE_START use it.
  public mutating func issue<Parameters: KernelStructure>(
    _ id: SEVCommandID, _ parameters: inout Parameters, on machine: borrowing OwnedDescriptor,
    firmware: Int32 = 0
  ) throws(SEVError) {
    precondition(Parameters.byteCount == id.parameterByteCount, "the struct is not this command's")
    area.storeParameters(parameters)
    let code = try send(id, on: machine, firmware: firmware)
    parameters = area.loadParameters(as: Parameters.self)
    try check(code, .command(id))
  }

  /// Issues a command that has no struct of its own.
  public mutating func issue(
    _ id: SEVCommandID, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    precondition(id.parameterByteCount == 0, "the command needs a struct")
    try check(try send(id, on: machine, firmware: 0), .command(id))
  }

  /// INIT2, which newer kernels have at the number of LOCAL_SEND.
  ///
  /// - Throws: EINVAL on a VM of the standard type, and for features or versions that KVM does not offer.
  public mutating func initialize2(
    _ machine: borrowing OwnedDescriptor, parameters: Initialize2Parameters = Initialize2Parameters()
  ) throws(SEVError) {
    area.storeParameters(parameters)
    let code = try send(
      SEVCommandID.initialize2Number, parameterByteCount: Initialize2Parameters.byteCount, pins: false,
      on: machine, firmware: 0, for: .initialize2)
    try check(code, .initialize2)
  }

  /// `KVM_MEMORY_ENCRYPT_OP` with any argument: what a program's own ioctl does.
  ///
  /// - Parameter argument: The address of a ``SEVCommandBlock`` in this process, or 0, or anything else.
  /// - Returns: 0 or the errno. Results are written to where the argument says.
  /// - Throws: Only when the model went away.
  public mutating func memoryEncryptOperation(
    on machine: borrowing OwnedDescriptor, argument: UInt64
  ) throws(SEVError) -> Int32 {
    try ioctl(.memoryEncryptOperation, on: machine, argument: argument, for: .memoryEncryptOperation)
  }

  /// LOCAL_RECEIVE of no token, for the probe.
  ///
  /// - Returns: The errno.
  func sendEmptyReceive(on machine: borrowing OwnedDescriptor) throws(SEVError) -> Int32 {
    area.clearParameters()
    return try send(.localReceive, on: machine, firmware: 0)
  }

  // MARK: Regions

  /// Registers memory of this process that the guest uses, before it is encrypted; the pages are pinned.
  ///
  /// - Throws: ENOMEM beyond the memlock limit without CAP_IPC_LOCK, or for memory that is not mapped
  ///   writable.
  public mutating func register(
    _ region: EncryptedRegion, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    let code = try send(.registerRegion, region, on: machine, .registerRegion(region))
    guard code == 0 else { throw SEVError(.registerRegion(region), code: code) }
  }

  /// Unregisters memory by exactly the address and size with which it was registered, which after a handoff
  /// are the source's.
  ///
  /// - Throws: EINVAL if there is no such region.
  public mutating func unregister(
    _ region: EncryptedRegion, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    let code = try send(.unregisterRegion, region, on: machine, .unregisterRegion(region))
    guard code == 0 else { throw SEVError(.unregisterRegion(region), code: code) }
  }

  private func send(
    _ request: ModelWire.Request, _ region: EncryptedRegion, on machine: borrowing OwnedDescriptor,
    _ attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    area.storeArgument(region)
    return try send(
      request, on: machine, pins: request == .registerRegion, for: attempt)
  }

  /// Sends an ioctl whose struct is in ``area``.
  ///
  /// - Parameter second: The descriptor that the struct names, or -1.
  /// - Returns: 0 or the errno.
  func send(
    _ request: ModelWire.Request, on descriptor: borrowing OwnedDescriptor, parameterByteCount: Int = 0,
    second: Int32 = -1, pins: Bool = false, for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    switch place {
    case .kernel: return -min(0, sev_ioctl(descriptor.number, request.number, area.argumentAddress))
    case .model(let connection):
      return try connection.request(
        request, on: descriptor.number, area: area, parameterByteCount: parameterByteCount, second: second,
        pins: pins, for: attempt)
    }
  }

  /// Makes an ioctl with any argument.
  ///
  /// - Returns: 0 or the errno.
  func ioctl(
    _ request: ModelWire.Request, on descriptor: borrowing OwnedDescriptor, argument: UInt64,
    for attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    switch place {
    case .kernel: return -min(0, sev_ioctl(descriptor.number, request.number, argument))
    case .model(let connection):
      return try connection.request(request, on: descriptor.number, argument: argument, for: attempt)
    }
  }
}
