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

/// By which ways a guest's context can go from VM to VM on this host.
public struct ContextWays: Hashable, Sendable {
  /// LOCAL_SEND and LOCAL_RECEIVE.
  public let token: Bool
  /// `KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM`.
  public let move: Bool
  /// Whether SEV-ES is on; nil where only trying ES_INIT would tell, that is, on kernels before 6.10.
  public let encryptedState: Bool?
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

  /// Finds out by which ways a context can go, without changing anything.
  ///
  /// - Parameter machine: A plain VM that is no SEV guest.
  public mutating func ways(_ machine: borrowing OwnedDescriptor) throws(SEVError) -> ContextWays {
    let support = try probe(machine)
    guard support != .unavailable else {
      return ContextWays(token: false, move: false, encryptedState: false)
    }
    // Hosts without SEV have the capability too, so that it counts only here.
    let move = try capability(UInt64(KernelCapability.moveEncryptionContext.rawValue), on: machine)
    let types = try capability(UInt64(KernelCapability.machineTypes.rawValue), on: machine)
    let encryptedState: Bool? =
      if let description = try describeModel() {
        description.hasEncryptedState
      } else if types > 0 {
        UInt32(bitPattern: types) & (1 << UInt32(MachineType.sevES.rawValue)) != 0
      } else {
        nil
      }
    return ContextWays(
      token: support == .localMigration, move: move > 0, encryptedState: encryptedState)
  }
}
