import Glibc
public import LinuxOS
import SEVABI

/// What a kernel's SEV interface can do.
public enum SEVSupport: String, CaseIterable, Hashable, Sendable {
  /// SEV is off, or the machine has none.
  case unavailable
  /// A mainline kernel: no LOCAL_SEND and LOCAL_RECEIVE; contexts are moved by
  /// `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`.
  case mainline
  /// LOCAL_SEND and LOCAL_RECEIVE are there.
  case localMigration
}

extension SEVSession {
  /// Finds out what the kernel can do, without changing anything.
  ///
  /// Asks with a NULL argument and with command 23. Never with 22: that is another command on newer kernels,
  /// which could succeed.
  ///
  /// - Parameter machine: A plain VM that is no SEV guest.
  public mutating func probe(_ machine: borrowing OwnedDescriptor) throws(SEVError) -> SEVSupport {
    let null = try memoryEncryptOperation(on: machine, argument: 0)
    switch null {
    case 0: break
    case ENOTTY, EINVAL: return .unavailable
    default: throw SEVError(.memoryEncryptOperation, code: null)
    }
    let code = try sendEmptyReceive(on: machine)
    switch code {
    case ENOTTY: return .localMigration
    case EINVAL: return .mainline
    default: throw SEVError(.command(.localReceive), code: code)
    }
  }
}
