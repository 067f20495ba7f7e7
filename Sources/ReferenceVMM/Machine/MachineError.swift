public import KVM
public import LinuxOS
public import SEVDevice

/// Why a machine could not do what was asked. The guest's RAM is untouched by every refusal.
public enum MachineError: Error, Hashable, Sendable {
  /// The configuration breaks a limit; the text says which.
  case unusableConfiguration(String)
  /// Guest RAM does not hold a guest of this VMM.
  case noGuestInRAM(found: UInt64)
  /// The call does not fit what the machine is doing.
  case wrongPhase(attempted: String, phase: MachinePhase)
  /// Saved state cannot be used.
  case state(MachineStateError)
  /// A call of the KVM interface failed.
  case kvm(KVMError)
  /// A software vCPU cannot reach its private memory.
  case privateMemory(SEVError)
  /// Another system call failed.
  case system(SystemError)
}

extension MachineError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .unusableConfiguration(let reason): "The machine cannot be made: \(reason)"
    case .noGuestInRAM(let found):
      "The memory holds no guest of this VMM: its header begins with 0x\(String(found, radix: 16))"
    case .wrongPhase(let attempted, let phase):
      "The machine cannot \(attempted) while it is \(phase.rawValue)"
    case .state(let error): error.description
    case .kvm(let error): error.description
    case .privateMemory(let error): "A software vCPU has no access to its memory: \(error)"
    case .system(let error): error.description
    }
  }
}

/// What a machine is doing.
public enum MachinePhase: String, Hashable, Sendable {
  /// A fresh guest is loaded; ``Machine/start()`` comes next.
  case loaded
  /// Prepared without a guest's state; ``Machine/restore(_:)`` comes next.
  case prepared
  /// State was restored; ``Machine/run()`` comes next.
  case restored
  case running
  case stopped
  /// Threads have ended; the machine cannot be used any more.
  case ended
}
