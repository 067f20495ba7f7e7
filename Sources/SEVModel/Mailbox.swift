import SEVABI

/// How the AMD Secure Processor does, as its driver sees it.
public enum ProcessorHealth: Hashable, Sendable {
  case healthy
  /// There is none: no `/dev/sev`, and commands that need the firmware fail with ENODEV.
  case absent
  /// It answers so many commands of the firmware, counted from the driver's start on, and then never again: the
  /// next command fails with ETIMEDOUT and all later ones with EBUSY, because the driver gives it up.
  case stops(after: UInt64)
}

/// Where the driver puts the firmware's commands, and waits for answers.
struct Mailbox: Sendable {
  private enum State {
    case answering(remaining: UInt64?)
    case absent
    /// A command was never answered.
    case dead
  }

  private var state: State
  /// Why the last command got no answer; nil if it got one.
  private(set) var failure: KernelError?

  init(_ health: ProcessorHealth) {
    state =
      switch health {
      case .healthy: .answering(remaining: nil)
      case .absent: .absent
      case .stops(let count): .answering(remaining: count)
      }
  }

  /// Hands a command to the firmware.
  ///
  /// - Throws: `neverCalled` if no answer comes; ``failure`` then says why.
  mutating func post() throws(FirmwareStatus) {
    failure = nil
    switch state {
    case .answering(remaining: nil): return
    case .answering(remaining: let remaining?) where remaining > 0:
      state = .answering(remaining: remaining - 1)
      return
    case .answering:
      state = .dead
      failure = .timedOut
    case .absent: failure = .noDevice
    case .dead: failure = .busy
    }
    throw .neverCalled
  }

  /// What a command's caller sees of a firmware's refusal, or of an answer that did not come.
  ///
  /// - Parameter error: The command block's field. The driver clears it when it waited in vain, and leaves it alone
  ///   when it did not even try.
  func outcome(of status: FirmwareStatus, error: inout UInt32) -> KernelError {
    guard status == .neverCalled, let failure else {
      error = status.rawValue
      return .inputOutput
    }
    if failure == .timedOut { error = FirmwareStatus.success.rawValue }
    return failure
  }
}
