import BatonWire
import RegistryInterface

/// How an attempt ended before its guest was staged: whose fault it was.
struct AttemptEnd {
  let refusal: BatonWire.Refusal
  /// The registry itself or a VMM said more than the machine.
  let hasOwnReason: Bool
  let wasDeclinedBySuccessor: Bool
  let lastPhase: PhaseName?
  let isSuccessorConnected: Bool

  /// Whether the same successor would fail again. When in doubt it is not its fault: a slot is barred for what
  /// it did itself.
  var isSuccessorsFault: Bool {
    if wasDeclinedBySuccessor { return true }
    // Otherwise a reason of its own is about the source's offer, or about room.
    guard !hasOwnReason else { return false }
    switch refusal {
    case .successorDeclined, .stateUnreadable: return true
    case .deadlinePassed: return lastPhase == .ready
    case .peerDied, .peerDisconnected: return !isSuccessorConnected
    case .batonUsed, .batonUnknown, .batonExpired, .batonRevoked, .batonForeign, .sourceDestroyed, .wrongPeer,
      .secondOwner, .secondSuccessor, .notOwner, .fencedInThisEpoch, .unknownGuest, .badGuestName, .guestLost,
      .guestEnded, .malformedRecord, .versionMismatch, .descriptorMismatch, .protocolViolation, .badManifest,
      .notAMemfd, .sealsMissing, .memoryTooShort, .foreignMemory, .abortedByOperator, .sourceDeclined,
      .takenBack, .quotaExceeded, .settling, .guestExists, .migrationUnderWay, .migrationCancelled, .linkLost,
      .wrongPeerName, .certificateInvalid, .policyForbids, .agreementMissing, .noRoom, .streamDamaged,
      .streamVersion, .willNotConverge, .encryptedStateNotSendable, .receiptWrong, .departed,
      .remoteUnreachable, .targetNotWaiting:
      return false
    }
  }
}
