public import BatonWire

/// How the life of a VMM process ended.
public enum VMMOutcome: Hashable, Sendable {
  /// The guest went to its successor, or waits for one in custody.
  case released
  /// The guest ended by request.
  case ended
  /// Something failed; stderr says what and where the guest is.
  case failed
  /// The registry, or this process itself, said no.
  case refused(Refusal)

  /// 0 when all went as it should, else 1 or the refusal's own status.
  public var exitStatus: Int32 {
    switch self {
    case .released, .ended: 0
    case .failed: 1
    case .refused(let refusal): refusal.exitCode
    }
  }

  /// The status of a process that was started with wrong settings (`EX_USAGE`, sysexits.h).
  public static let usageStatus: Int32 = 64
}
