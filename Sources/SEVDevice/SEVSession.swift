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

  init(place: consuming Place) {
    self.place = place
  }

  // MARK: Descriptors

  /// Makes a VM of the model. With the kernel, VMs come from `/dev/kvm`, so that there this fails with
  /// ENOTTY.
  ///
  /// The descriptor may be passed to other processes: the VM lives until its last duplicate is closed.
  public mutating func makeMachine() throws(SEVError) -> OwnedDescriptor {
    switch place {
    case .kernel: throw SEVError(.makeMachine, code: ENOTTY)
    case .model(let connection): return try connection.make(.makeMachine, for: .makeMachine)
    }
  }

  /// Opens the firmware device: `/dev/sev`, or the model's.
  ///
  /// LAUNCH_START is given its number, and the VM keeps that *number*: the descriptor must stay open there as
  /// long as the VM is given firmware commands. For a VM that received its guest see ``openFirmware(at:)``.
  public mutating func openFirmware() throws(SEVError) -> OwnedDescriptor {
    switch place {
    case .kernel:
      do throws(SystemError) {
        return try Files.open("/dev/sev", .readWrite)
      } catch {
        throw SEVError(.openFirmware, code: error.code)
      }
    case .model(let connection): return try connection.make(.openFirmware, for: .openFirmware)
    }
  }

  /// Opens the firmware device at a descriptor number of one's choice, replacing what was there, for the rest
  /// of the process's life.
  ///
  /// LOCAL_RECEIVE does not set the number that a VM keeps, so that it is 0: a successor that asks for the
  /// guest's status or debugs it needs the device at number 0, else these commands fail with EBADF.
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
  /// - Returns: 0 or the errno. The area holds what the kernel wrote.
  private func send(
    _ id: SEVCommandID, on machine: borrowing OwnedDescriptor, firmware: Int32
  ) throws(SEVError) -> Int32 {
    let parameterByteCount = id.parameterByteCount
    area.storeBlock(
      SEVCommandBlock(
        id: id.rawValue, data: parameterByteCount > 0 ? area.parameterAddress : 0,
        error: FirmwareStatus.neverCalled.rawValue, firmwareDescriptor: firmware))
    switch place {
    case .kernel:
      return -sev_ioctl(machine.number, SEVIoctl.memoryEncryptOperation, area.argumentAddress)
    case .model(let connection):
      return try connection.request(
        .memoryEncryptOperation, on: machine.number, area: area,
        argumentByteCount: SEVCommandBlock.byteCount, parameterByteCount: parameterByteCount,
        pins: id.pinsMemory, for: .command(id))
    }
  }

  private func check(_ code: Int32, _ id: SEVCommandID) throws(SEVError) {
    guard code != 0 else { return }
    let status = area.firmwareStatus
    let isFirmwareRefusal = code == EIO && status != FirmwareStatus.neverCalled.rawValue && status != 0
    throw SEVError(.command(id), code: code, firmwareStatus: isFirmwareRefusal ? status : nil)
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
    try check(code, id)
  }

  /// Issues a command that has no struct of its own.
  public mutating func issue(
    _ id: SEVCommandID, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    precondition(id.parameterByteCount == 0, "the command needs a struct")
    try check(try send(id, on: machine, firmware: 0), id)
  }

  /// `KVM_MEMORY_ENCRYPT_OP` with any argument: what a program's own ioctl does.
  ///
  /// - Parameter argument: The address of a ``SEVCommandBlock`` in this process, or 0, or anything else.
  /// - Returns: 0 or the errno. Results are written to where the argument says.
  /// - Throws: Only when the model went away.
  public mutating func memoryEncryptOperation(
    on machine: borrowing OwnedDescriptor, argument: UInt64
  ) throws(SEVError) -> Int32 {
    switch place {
    case .kernel: return -sev_ioctl(machine.number, SEVIoctl.memoryEncryptOperation, argument)
    case .model(let connection):
      return try connection.request(
        .memoryEncryptOperation, on: machine.number, argument: argument, for: .memoryEncryptOperation)
    }
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
    let code = try send(
      .registerRegion, SEVIoctl.registerRegion, region, on: machine, .registerRegion(region))
    guard code == 0 else { throw SEVError(.registerRegion(region), code: code) }
  }

  /// Unregisters memory by exactly the address and size with which it was registered, which after a handoff
  /// are the source's.
  ///
  /// - Throws: EINVAL if there is no such region.
  public mutating func unregister(
    _ region: EncryptedRegion, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    let code = try send(
      .unregisterRegion, SEVIoctl.unregisterRegion, region, on: machine, .unregisterRegion(region))
    guard code == 0 else { throw SEVError(.unregisterRegion(region), code: code) }
  }

  private func send(
    _ kind: ModelWire.Kind, _ request: UInt, _ region: EncryptedRegion,
    on machine: borrowing OwnedDescriptor, _ attempt: SEVError.Attempt
  ) throws(SEVError) -> Int32 {
    area.storeRegion(region)
    switch place {
    case .kernel: return -sev_ioctl(machine.number, request, area.argumentAddress)
    case .model(let connection):
      return try connection.request(
        kind, on: machine.number, area: area, argumentByteCount: EncryptedRegion.byteCount,
        parameterByteCount: 0, pins: kind == .registerRegion, for: attempt)
    }
  }

  // MARK: Local migration

  /// LOCAL_SEND: stages the guest of this VM for a receiver on the same host.
  ///
  /// From then on the VM refuses all commands but the two debugging ones; nothing stops its vCPUs.
  /// - Returns: The baton. It is worth the guest: who has it can receive, and if it is lost while the source
  ///   lives, nobody can.
  /// - Throws: EPERM if it was sent already or has encrypted state; ENOTTY if it is no SEV guest, or if the
  ///   kernel said yes without making a token, which means that it has no LOCAL_SEND.
  /// - Complexity: With the model, one record there and one back.
  public mutating func localSend(_ machine: borrowing OwnedDescriptor) throws(SEVError) -> InfoToken {
    defer { area.wipe() }
    area.clearParameters()
    try check(try send(.localSend, on: machine, firmware: 0), .localSend)
    guard let token = InfoToken(adopting: area.loadParameter64(at: LocalSendParameters.tokenOffset)) else {
      throw SEVError(.command(.localSend), code: ENOTTY)
    }
    return token
  }

  /// LOCAL_RECEIVE: takes a staged guest over. The VM must be initialised and otherwise unused.
  ///
  /// - Returns: The firmware's handle of the guest.
  /// - Throws: EFAULT if the token is unknown or used, or its source is gone: then nothing has changed. EPERM
  ///   if this VM has a guest, a registered region or encrypted state; ENOTTY if it is not initialised.
  /// - Complexity: With the model, one record there and one back.
  public mutating func localReceive(
    _ machine: borrowing OwnedDescriptor, token: borrowing InfoToken
  ) throws(SEVError) -> UInt32 {
    defer { area.wipe() }
    area.clearParameters()
    area.storeToken(token, at: LocalReceiveParameters.tokenOffset)
    try check(try send(.localReceive, on: machine, firmware: 0), .localReceive)
    return area.loadParameter32(at: LocalReceiveParameters.handleOffset)
  }
}
