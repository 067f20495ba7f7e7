import CLinux
import Glibc
public import LinuxOS
import SEVABI

/// Questions about capabilities, and what only a model has.
extension SEVSession {
  /// Makes a call of the model's.
  ///
  /// - Throws: ENOTTY with the kernel, where there are none; what the model refuses with.
  func call(
    _ operation: ModelWire.Operation, on descriptor: Int32 = -1, arguments: [UInt64] = [],
    payload: [UInt8] = [], for attempt: SEVError.Attempt
  ) throws(SEVError) -> CallResult {
    switch place {
    case .kernel: throw SEVError(attempt, code: ENOTTY)
    case .model(let connection):
      let result = try connection.call(
        operation, on: descriptor, arguments: arguments, payload: payload, for: attempt)
      guard result.error == 0 else { throw SEVError(attempt, code: result.error) }
      return result
    }
  }

  /// What the model is; nil with the kernel. Asked once in a session's life.
  public mutating func describeModel() throws(SEVError) -> ModelDescription? {
    switch place {
    case .kernel: return nil
    case .model: break
    }
    if let description { return description }
    let result = try call(.describe, for: .describe)
    let made = ModelDescription(
      features: result.values[0], profile: String(decoding: result.payload, as: UTF8.self))
    description = made
    return made
  }

  /// `KVM_CHECK_EXTENSION` on a VM. The model answers for capabilities of the SEV interface and with 0 for all
  /// others.
  ///
  /// - Throws: EIO for a VM of another address space or one whose context was moved away.
  public mutating func capability(
    _ number: UInt64, on machine: borrowing OwnedDescriptor
  ) throws(SEVError) -> Int32 {
    switch place {
    case .kernel:
      let value = sev_ioctl(machine.number, Self.checkExtension, number)
      guard value >= 0 else { throw SEVError(.checkExtension(number), code: -value) }
      return value
    case .model:
      let result = try call(
        .checkExtension, on: machine.number, arguments: [number], for: .checkExtension(number))
      return result.outcome == 0 ? 0 : Int32(truncatingIfNeeded: result.values[0])
    }
  }

  /// `KVM_CHECK_EXTENSION`
  private static let checkExtension: UInt = 0xAE03

  /// The certificates of the model's platform, those too that AMD's server would supply: they end in a test
  /// root, which says so.
  ///
  /// - Returns: PDH, PEK, OCA and CEK (signed) of 2084 bytes each, ASK and ARK of 832 bytes each.
  /// - Throws: ENOTTY with the kernel.
  public mutating func platformCertificates() throws(SEVError) -> [UInt8] {
    try call(.platformCertificates, for: .describe).payload
  }

  // MARK: Software vCPUs

  /// What KVM checks first in every ioctl on a VM or vCPU.
  ///
  /// - Throws: EIO if it belongs to another address space or the context was moved away; ENOTTY with the kernel.
  public mutating func checkUse(_ descriptor: borrowing OwnedDescriptor) throws(SEVError) {
    _ = try call(.checkUse, on: descriptor.number, for: .vcpu)
  }

  /// What KVM checks first in KVM_RUN.
  ///
  /// - Throws: EIO as ``checkUse(_:)``; EINVAL for a VM of a SEV type without INIT2; ENOTTY with the kernel.
  public mutating func checkRun(_ vcpu: borrowing OwnedDescriptor) throws(SEVError) {
    _ = try call(.checkRun, on: vcpu.number, for: .vcpu)
  }

  /// How a guest's hypercall ends.
  public enum HypercallEnd: Hashable, Sendable {
    /// In KVM, with this value for the guest.
    case returned(Int64)
    /// In the VMM (KVM_EXIT_HYPERCALL), with these three arguments.
    case exit(number: UInt64, arguments: [UInt64])
  }

  /// A hypercall of a software vCPU.
  ///
  /// - Parameter arguments: At most three.
  /// - Throws: EIO as ``checkUse(_:)``; ENOTTY with the kernel.
  public mutating func hypercall(
    _ number: UInt64, _ arguments: [UInt64], privilegeLevel: UInt8 = 0, on vcpu: borrowing OwnedDescriptor
  ) throws(SEVError) -> HypercallEnd {
    var all = [number, 0, 0, 0, UInt64(privilegeLevel)]
    for (index, argument) in arguments.prefix(3).enumerated() { all[1 + index] = argument }
    let result = try call(.hypercall, on: vcpu.number, arguments: all, for: .vcpu)
    return result.outcome == 0
      ? .returned(Int64(bitPattern: result.values[0]))
      : .exit(number: result.values[0], arguments: Array(result.values[1...3]))
  }

  /// How a guest's access to a model-specific register ends.
  public enum MSREnd: Hashable, Sendable {
    case value(UInt64)
    /// In the VMM (KVM_EXIT_X86_RDMSR or _WRMSR), with this reason.
    case exit(reason: UInt64)
    case generalProtection
  }

  /// RDMSR of a software vCPU.
  public mutating func readMSR(
    _ index: UInt32, on vcpu: borrowing OwnedDescriptor
  ) throws(SEVError) -> MSREnd {
    Self.end(try call(.readMSR, on: vcpu.number, arguments: [UInt64(index)], for: .vcpu))
  }

  /// WRMSR of a software vCPU; `value` at the end is meaningless.
  public mutating func writeMSR(
    _ index: UInt32, _ value: UInt64, on vcpu: borrowing OwnedDescriptor
  ) throws(SEVError) -> MSREnd {
    Self.end(try call(.writeMSR, on: vcpu.number, arguments: [UInt64(index), value], for: .vcpu))
  }

  private static func end(_ result: CallResult) -> MSREnd {
    switch result.outcome {
    case 0: .value(result.values[0])
    case 1: .exit(reason: result.values[0])
    default: .generalProtection
    }
  }
}
