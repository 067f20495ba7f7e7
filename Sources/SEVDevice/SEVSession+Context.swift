import Glibc
public import LinuxOS
public import SEVABI

/// The two ways to move a guest's context between VMs of one host, and mirrors.
extension SEVSession {
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
    try check(try send(.localSend, on: machine, firmware: 0), .command(.localSend))
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
    try check(try send(.localReceive, on: machine, firmware: 0), .command(.localReceive))
    return area.loadParameter32(at: LocalReceiveParameters.handleOffset)
  }

  // MARK: By descriptor

  /// `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`: takes the guest of another VM over. The source may belong to another
  /// process; afterwards every ioctl on it and its vCPUs fails with EIO.
  ///
  /// - Parameters:
  ///   - source: A VM whose descriptor this process has.
  ///   - target: A VM of this process that is no SEV guest; for SEV-ES with as many vCPUs as the source.
  /// - Throws: EINVAL if the source is no SEV guest (any more), the target is one, or vCPUs do not match: then
  ///   nothing has changed. EIO if the target belongs to another address space or was moved away from itself;
  ///   EBUSY while another move of either is under way, a vCPU is being made, or (before Linux 5.18) the source
  ///   has mirrors.
  /// - Complexity: With the model, one record there and one back.
  public mutating func move(
    from source: borrowing OwnedDescriptor, to target: borrowing OwnedDescriptor
  ) throws(SEVError) {
    try enable(.moveEncryptionContext, from: source, on: target)
  }

  /// `KVM_CAP_VM_COPY_ENC_CONTEXT_FROM`: makes a VM a mirror of another one, with the same key.
  ///
  /// - Parameter target: A VM of this process without vCPUs that is no SEV guest.
  /// - Throws: EINVAL if source or target are not fit; EBUSY while a move of either is under way.
  public mutating func mirror(
    _ source: borrowing OwnedDescriptor, to target: borrowing OwnedDescriptor
  ) throws(SEVError) {
    try enable(.copyEncryptionContext, from: source, on: target)
  }

  private mutating func enable(
    _ capability: KernelCapability, from source: borrowing OwnedDescriptor,
    on target: borrowing OwnedDescriptor
  ) throws(SEVError) {
    let attempt = SEVError.Attempt.enableCapability(UInt64(capability.rawValue))
    area.storeArgument(
      EnableCapability(capability: capability.rawValue, argument: UInt64(UInt32(bitPattern: source.number))))
    let code = try send(.enableCapability, on: target, second: source.number, for: attempt)
    guard code == 0 else { throw SEVError(attempt, code: code) }
  }

  /// `KVM_ENABLE_CAP` on a VM with any argument: what a program's own ioctl does. With the model, only the
  /// capabilities of the SEV interface are there.
  ///
  /// - Parameter argument: The address of an ``EnableCapability`` in this process, or anything else.
  /// - Returns: 0 or the errno.
  public mutating func enableCapability(
    on machine: borrowing OwnedDescriptor, argument: UInt64
  ) throws(SEVError) -> Int32 {
    try ioctl(.enableCapability, on: machine, argument: argument, for: .enableCapability(0))
  }
}
