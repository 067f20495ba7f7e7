import CLinux
import Glibc
package import LinuxOS

/// Why `KVM_RUN` came back.
public enum KVMExit: Hashable, Sendable {
  /// The guest wrote these bytes to a port. They are complete only after the next `KVM_RUN`.
  case output(port: UInt16, bytes: [UInt8])
  /// The guest read from a port; it was given all ones.
  case input(port: UInt16)
  /// The guest asks for something that is left to the VMM. Answer with ``KVMVCPU/answerHypercall(_:)`` before
  /// the next `KVM_RUN`, which puts the answer into RAX.
  case hypercall(KVMHypercall)
  /// The guest reads an MSR that is left to the VMM. Answer with ``KVMVCPU/answerMSR(_:)`` or refuse with
  /// ``KVMVCPU/refuseMSR()`` before the next `KVM_RUN`.
  case readMSR(KVMMSRAccess)
  /// The guest writes an MSR that is left to the VMM. It is done unless ``KVMVCPU/refuseMSR()`` refuses it.
  case writeMSR(KVMMSRAccess)
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
@safe package final class KVMRunPage: @unchecked Sendable {
  private enum Offset {
    static let exitReason = 8
    static let ioDirection = 32
    static let ioSize = 33
    static let ioPort = 34
    static let ioCount = 36
    static let ioDataOffset = 40
    static let detail = 32
    // hypercall: number 8, six arguments, result 8, flags 8.
    static let hypercallNumber = 32
    static let hypercallArguments = 40
    static let hypercallResult = 88
    static let hypercallFlags = 96
    // msr: error 1, padding 7, reason 4, index 4, data 8.
    static let msrError = 32
    static let msrReason = 40
    static let msrIndex = 44
    static let msrData = 48
  }
  private static let hypercallArgumentCount = 6
  private enum Reason {
    static let io: UInt32 = 2
    static let hypercall: UInt32 = 3
    static let interrupted: UInt32 = 10
    static let readMSR: UInt32 = 29
    static let writeMSR: UInt32 = 30
  }

  private let base: UnsafeMutableRawPointer
  private let byteCount: Int

  /// Maps the page of a vCPU's descriptor.
  package init(_ vcpu: borrowing OwnedDescriptor, byteCount: Int) throws(KVMError) {
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

  private func store<Value: BitwiseCopyable>(_ value: Value, at offset: Int) {
    precondition(offset >= 0 && offset <= byteCount - MemoryLayout<Value>.size)
    unsafe base.storeBytes(of: value, toByteOffset: offset, as: Value.self)
  }

  private func load<Value: BitwiseCopyable>(_ offset: Int, as type: Value.Type) -> Value {
    precondition(offset >= 0 && offset <= byteCount - MemoryLayout<Value>.size)
    return unsafe base.loadUnaligned(fromByteOffset: offset, as: type)
  }

  /// Reads why the guest was left. Call it on the vCPU's thread after `KVM_RUN` succeeded.
  package func takeExit() -> KVMExit {
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
    case Reason.hypercall: return .hypercall(hypercall)
    case Reason.readMSR:
      // Whoever does not answer has not told the guest anything that was in the page before.
      store(UInt64(0), at: Offset.msrData)
      return .readMSR(msrAccess)
    case Reason.writeMSR: return .writeMSR(msrAccess)
    case Reason.interrupted: return .interrupted
    default: return .failed(reason: reason, detail: load(Offset.detail, as: UInt64.self))
    }
  }

  // MARK: Exits that want an answer

  private var hypercall: KVMHypercall {
    KVMHypercall(
      number: load(Offset.hypercallNumber, as: UInt64.self),
      arguments: (0..<Self.hypercallArgumentCount).map {
        load(Offset.hypercallArguments + 8 * $0, as: UInt64.self)
      },
      isLongMode: load(Offset.hypercallFlags, as: UInt64.self) & 1 != 0)
  }

  private var msrAccess: KVMMSRAccess {
    KVMMSRAccess(
      index: load(Offset.msrIndex, as: UInt32.self), value: load(Offset.msrData, as: UInt64.self),
      reason: KVMMSRAccess.Reason(rawValue: load(Offset.msrReason, as: UInt32.self)))
  }

  /// What the guest finds in RAX. Only after an exit for a hypercall: the fields of all exits overlap.
  package func answerHypercall(_ value: Int64) {
    precondition(load(Offset.exitReason, as: UInt32.self) == Reason.hypercall, "no hypercall waits")
    store(value, at: Offset.hypercallResult)
  }

  /// What the guest reads. Only after an exit for reading an MSR.
  package func answerMSR(_ value: UInt64) {
    precondition(load(Offset.exitReason, as: UInt32.self) == Reason.readMSR, "nobody reads an MSR")
    store(value, at: Offset.msrData)
    store(UInt8(0), at: Offset.msrError)
  }

  /// Gives the guest a general-protection fault. Only after an exit for an MSR.
  package func refuseMSR() {
    let reason = load(Offset.exitReason, as: UInt32.self)
    precondition(reason == Reason.readMSR || reason == Reason.writeMSR, "nobody accesses an MSR")
    store(UInt8(1), at: Offset.msrError)
  }
}
