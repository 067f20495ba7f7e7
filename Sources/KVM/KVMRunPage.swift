import CLinux
import Glibc
import LinuxOS

/// Why `KVM_RUN` came back.
public enum KVMExit: Hashable, Sendable {
  /// The guest wrote these bytes to a port. They are complete only after the next `KVM_RUN`.
  case output(port: UInt16, bytes: [UInt8])
  /// The guest read from a port; it was given all ones.
  case input(port: UInt16)
  /// A signal or immediate exit.
  case interrupted
  /// The guest cannot go on; reason and detail are `exit_reason` and what follows it.
  case failed(reason: UInt32, detail: UInt64)
}

/// The page that a vCPU and its thread share (`struct kvm_run`).
///
/// SAFETY: the mapping is valid from init to deinit and every access is checked against its size. The
/// kernel writes it only inside `KVM_RUN`, which only the vCPU's thread calls; the immediate-exit
/// byte alone is written by other threads, atomically.
@safe final class KVMRunPage: @unchecked Sendable {
  private enum Offset {
    static let exitReason = 8
    static let ioDirection = 32
    static let ioSize = 33
    static let ioPort = 34
    static let ioCount = 36
    static let ioDataOffset = 40
    static let detail = 32
  }
  private enum Reason {
    static let io: UInt32 = 2
    static let interrupted: UInt32 = 10
  }

  private let base: UnsafeMutableRawPointer
  private let byteCount: Int

  init(_ vcpu: borrowing OwnedDescriptor, byteCount: Int) throws(KVMError) {
    var error: Int32 = 0
    guard let page = unsafe clinux_kvm_map_run_page(vcpu.number, byteCount, &error) else {
      throw KVMError(.getVCPUMapSize, on: "the run page", code: error)
    }
    unsafe base = page
    self.byteCount = byteCount
  }

  deinit { unsafe clinux_kvm_unmap_run_page(base, byteCount) }

  /// Makes `KVM_RUN` return at once, without executing the guest, as long as it is set.
  func setImmediateExit(_ enabled: Bool) { unsafe clinux_kvm_set_immediate_exit(base, enabled ? 1 : 0) }

  private func load<Value: BitwiseCopyable>(_ offset: Int, as type: Value.Type) -> Value {
    precondition(offset >= 0 && offset <= byteCount - MemoryLayout<Value>.size)
    return unsafe base.loadUnaligned(fromByteOffset: offset, as: type)
  }

  /// Reads why the guest was left. Call it on the vCPU's thread after `KVM_RUN` succeeded.
  func takeExit() -> KVMExit {
    let reason = load(Offset.exitReason, as: UInt32.self)
    switch reason {
    case Reason.io:
      let size = Int(load(Offset.ioSize, as: UInt8.self)) * Int(load(Offset.ioCount, as: UInt32.self))
      let offset = Int(truncatingIfNeeded: load(Offset.ioDataOffset, as: UInt64.self))
      let port = load(Offset.ioPort, as: UInt16.self)
      precondition(offset >= 0 && size >= 0 && size <= byteCount && offset <= byteCount - size)
      if load(Offset.ioDirection, as: UInt8.self) == 1 {
        let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: base + offset, count: size))
        return .output(port: port, bytes: bytes)
      }
      unsafe (base + offset).initializeMemory(as: UInt8.self, repeating: 0xFF, count: size)
      return .input(port: port)
    case Reason.interrupted: return .interrupted
    default: return .failed(reason: reason, detail: load(Offset.detail, as: UInt64.self))
    }
  }
}
