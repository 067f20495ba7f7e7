import Glibc
public import LinuxOS
import SEVABI

/// What a software vCPU's guest asks of KVM beyond hypercalls and MSRs, and what its VMM answers. All fail with
/// ENOTTY with the kernel, which learns these things from the processor.
extension SEVSession {
  /// Keeps MSRs from a VM's guest, as `KVM_X86_SET_MSR_FILTER` does: an access to one is #GP, or ends the run where
  /// KVM_CAP_X86_USER_SPACE_MSR asks for that. The ranges replace those of an earlier call.
  ///
  /// - Throws: EIO as ``checkUse(_:)``.
  public mutating func denyMSRs(
    _ ranges: [ClosedRange<UInt32>], on machine: borrowing OwnedDescriptor
  ) throws(SEVError) {
    var payload = [UInt8](repeating: 0, count: ranges.count * ModelWire.MSRRange.byteCount)
    var span = payload.mutableSpan
    for (index, range) in ranges.enumerated() {
      span.store(range.lowerBound, at: index * ModelWire.MSRRange.byteCount + ModelWire.MSRRange.first)
      span.store(range.upperBound, at: index * ModelWire.MSRRange.byteCount + ModelWire.MSRRange.last)
    }
    _ = try call(.denyMSRs, on: machine.number, payload: payload, for: .vcpu)
  }

  /// What the guest gets in RAX when its VMM runs the vCPU again after a hypercall that ended in the VMM.
  ///
  /// - Parameter result: What the VMM wrote to `kvm_run.hypercall.ret`; 0 for success.
  /// - Returns: nil if no hypercall was pending.
  /// - Throws: EIO as ``checkUse(_:)``.
  public mutating func completeHypercall(
    result: UInt64, on vcpu: borrowing OwnedDescriptor
  ) throws(SEVError) -> Int64? {
    let answer = try call(.completeHypercall, on: vcpu.number, arguments: [result], for: .vcpu)
    return answer.outcome == 0 ? Int64(bitPattern: answer.values[0]) : nil
  }

  // MARK: SEV-ES

  /// A SEV-ES guest writes the GHCB MSR (0xC001_0130) and exits.
  ///
  /// - Returns: What it reads there when it goes on.
  /// - Throws: EIO as ``checkUse(_:)``; EINVAL for a guest without SEV-ES, or a request that KVM does not remember.
  public mutating func writeCommunicationMSR(
    _ value: UInt64, on vcpu: borrowing OwnedDescriptor
  ) throws(SEVError) -> UInt64 {
    try call(.writeCommunicationMSR, on: vcpu.number, arguments: [value], for: .vcpu).values[0]
  }

  /// A request that a SEV-ES guest makes through its communication block (GHCB).
  public enum BlockRequest: Hashable, Sendable {
    /// Keeps the address of the table by which the guest starts its other vCPUs. A move forgets it.
    case setJumpTable(UInt64)
    case jumpTable
    /// The vCPU waits to be started.
    case resetHold
  }

  /// A SEV-ES guest makes a request through the communication block that it named by the GHCB MSR.
  ///
  /// - Returns: What the guest reads as the second word of exit information.
  /// - Throws: EIO as ``checkUse(_:)``; EINVAL for a guest without SEV-ES, or without a communication block.
  public mutating func request(
    _ request: BlockRequest, on vcpu: borrowing OwnedDescriptor
  ) throws(SEVError) -> UInt64 {
    let (kind, address): (ModelWire.BlockRequest, UInt64) =
      switch request {
      case .setJumpTable(let address): (.setJumpTable, address)
      case .jumpTable: (.jumpTable, 0)
      case .resetHold: (.resetHold, 0)
      }
    let answer = try call(
      .requestByBlock, on: vcpu.number, arguments: [UInt64(kind.rawValue), address], for: .vcpu)
    return answer.values[0]
  }

  /// What starting a SEV-ES vCPU (SIPI) comes to.
  public enum StartOutcome: UInt32, Hashable, Sendable {
    /// The first one: the vCPU runs with the state that the VMM set before the launch.
    case initialState = 0
    /// It returns from a reset hold that it asked for through its communication block.
    case returnsFromExit = 1
    /// It returns from a reset hold that it asked for by MSR.
    case returnsFromMSR = 2
    case ignored = 3
  }

  /// Starts a SEV-ES vCPU (SIPI).
  ///
  /// - Throws: EIO as ``checkUse(_:)``; EINVAL for a guest without SEV-ES.
  public mutating func start(_ vcpu: borrowing OwnedDescriptor) throws(SEVError) -> StartOutcome {
    let answer = try call(.startVCPU, on: vcpu.number, for: .vcpu)
    guard let outcome = StartOutcome(rawValue: answer.outcome) else {
      throw SEVError(.vcpu, code: EPROTO)
    }
    return outcome
  }
}
