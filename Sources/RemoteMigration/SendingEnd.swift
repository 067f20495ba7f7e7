import SEVABI
import SEVDevice

/// How SEND_FINISH ended, if it is not certain that it did nothing.
public enum SendingEnd: Hashable, Sendable {
  /// The device has given the guest up.
  case finished
  /// Nobody can say whether it has. The guest may be on its way, so it must never run here again; and the target has
  /// all of it, so that it is given up all the same.
  case unknown(MigrationFailure)

  /// What a SEND_FINISH means that failed.
  ///
  /// The guest's state decides where it can be told: the device may have done what was never answered, or refuse
  /// because it did it before. Without the state only those errors count as "not done" that say so.
  ///
  /// - Parameters:
  ///   - state: The guest's, asked for after the failure; nil when nobody says.
  ///   - failure: What is thrown when the guest was not given up.
  /// - Throws: `failure` when it is certain that the guest is still the source's.
  init(
    after error: SEVError, state: GuestState?, _ failure: MigrationFailure
  ) throws(MigrationFailure) {
    switch state {
    case .sent: self = .finished
    case .sending, .running, .launching, .measured, .receiving: throw failure
    // The firmware knows no such guest, or nobody says.
    case .uninitialized, nil:
      guard Self.isDoubtful(error) else { throw failure }
      self = .unknown(failure)
    }
  }

  /// Whether the command may have been done though it failed.
  private static func isDoubtful(_ error: SEVError) -> Bool {
    if error.isOutcomeUnknown { return true }
    switch error.firmware {
    // The firmware was called and did not get to its end.
    case .hardwareErrorPlatform, .hardwareErrorUnsafe: return true
    case .success, .invalidPlatformState, .invalidGuestState, .invalidConfiguration, .invalidLength,
      .alreadyOwned, .invalidCertificate, .policyFailure, .inactive, .invalidAddress, .badSignature,
      .badMeasurement, .asidOwned, .invalidASID, .wbinvdRequired, .dfFlushRequired, .invalidGuest,
      .invalidCommand, .active, .unsupported, .invalidParameter, .resourceLimit, .secureDataInvalid,
      .neverCalled, nil:
      break
    }
    switch error.reason {
    // The kernel stopped waiting for the firmware; or it could not write back what came of the command.
    case .timedOut, .badAddress: return true
    case .notPermitted, .interrupted, .inputOutput, .tooBig, .badDescriptor, .outOfMemory, .busy,
      .alreadyExists, .noDevice, .invalidArgument, .notSupported, nil:
      return false
    }
  }
}
