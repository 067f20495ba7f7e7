public import SEVABI

/// How far a request got: it is finished, or it needs something of the caller's process to go on.
///
/// The model touches no memory and no descriptor of a caller. Where KVM copies from or to user memory, pins
/// pages or looks a descriptor up, the model stops with the question, and goes on in the given closure with
/// the answer. Other requests may run in between, as they may while KVM waits for a page; but not requests on
/// the same VM, which KVM serialises by the VM's lock. (``ModelHost/enableCapability(on:argument:caller:)`` is
/// the exception: it takes no lock before its ``lock(_:then:)``.) A VM must not be destroyed while a request on
/// it has not finished, as KVM holds a reference on the open file meanwhile.
public enum Step: Sendable {
  /// The ioctl returns: 0 for nil, else -1 with that errno.
  case finished(KernelError?, undo: Undo? = nil)
  /// Nothing is needed; the request goes on at once.
  case resume(@Sendable (inout ModelHost) -> Step)
  /// Copy `count` bytes in. The answer is nil if any of them cannot be read.
  case read(address: UInt64, count: Int, then: @Sendable (inout ModelHost, [UInt8]?) -> Step)
  /// Copy bytes out. The answer is false if any of them could not be written.
  case write(address: UInt64, bytes: [UInt8], then: @Sendable (inout ModelHost, Bool) -> Step)
  /// Fault in the pages that hold a range, for writing or only for reading. The answer is false if that is
  /// not possible for any of them.
  case pin(
    address: UInt64, count: UInt64, forWriting: Bool, then: @Sendable (inout ModelHost, Bool) -> Step)
  /// Look up a descriptor number. The answer is whether it is an open firmware device (`/dev/sev`).
  case findFirmware(descriptor: Int32, then: @Sendable (inout ModelHost, Bool) -> Step)
  /// Look up a descriptor number. The answer is the VM that it is open on, which may be another process's; nil
  /// if it is no VM. The VM stays referenced until the request is finished.
  case findMachine(descriptor: Int32, then: @Sendable (inout ModelHost, VirtualMachineID?) -> Step)
  /// Go on when no other request on any of these VMs is unfinished: their locks are taken together or not at
  /// all, so that no order of them matters. What follows finishes without a further question.
  case lock([VirtualMachineID], then: @Sendable (inout ModelHost) -> Step)
  /// Tell which pages hold a range, in order. The answer is nil if any of them is not mapped. Only asked where
  /// guest memory is encrypted.
  case identifyPages(
    address: UInt64, count: UInt64, then: @Sendable (inout ModelHost, [PageIdentity]?) -> Step)
}

/// How to take a finished command back whose results could not be delivered after all; see
/// ``ModelHost/undo(_:)``.
public enum Undo: Hashable, Sendable {
  case launchStart(VirtualMachineID, handle: UInt32, previousHandle: UInt32, previousDescriptor: Int32)
  case receiveStart(VirtualMachineID, handle: UInt32, previousHandle: UInt32, previousDescriptor: Int32)
  case localSend(VirtualMachineID)
  case localReceive(VirtualMachineID, from: StagedContextID, own: OwnIdentity)
}

/// What the target of a LOCAL_RECEIVE had before, and gets back if the receive is taken back.
public struct OwnIdentity: Hashable, Sendable {
  let asid: UInt32
  let controlGroup: ControlGroupID
}
