/// Every named reason for which the registry (or a peer) refuses something.
///
/// The raw value goes over the wire and never changes its meaning. Texts, exit codes, Varlink errors
/// and journal message ids are in `RefusalCatalog.swift`; a test checks that each case has all.
public enum Refusal: UInt16, Error, Hashable, Sendable, CaseIterable {
  // Batons
  case batonUsed = 1
  case batonUnknown = 2
  case batonExpired = 3
  case batonRevoked = 4
  case batonForeign = 5
  case sourceDestroyed = 6
  // Peers and owners
  case wrongPeer = 10
  case secondOwner = 11
  case secondSuccessor = 12
  case notOwner = 13
  case fencedInThisEpoch = 14
  // Guests
  case unknownGuest = 20
  case badGuestName = 21
  case guestLost = 22
  case guestEnded = 23
  // Records
  case malformedRecord = 30
  case versionMismatch = 31
  case descriptorMismatch = 32
  case protocolViolation = 33
  // What travels
  case badManifest = 40
  case notAMemfd = 41
  case sealsMissing = 42
  case memoryTooShort = 43
  case foreignMemory = 44
  case stateUnreadable = 45
  // Course of a handoff
  case deadlinePassed = 50
  case abortedByOperator = 51
  case sourceDeclined = 52
  case successorDeclined = 53
  case peerDied = 54
  case peerDisconnected = 55
  case takenBack = 56
  // Limits and state of the registry
  case quotaExceeded = 60
  case settling = 61
  // Migration to another host
  case guestExists = 70
  case migrationUnderWay = 71
  case migrationCancelled = 72
  case linkLost = 73
  case wrongPeerName = 74
  case certificateInvalid = 75
  case policyForbids = 76
  case agreementMissing = 77
  case noRoom = 78
  case streamDamaged = 79
  case streamVersion = 80
  case willNotConverge = 81
  case encryptedStateNotSendable = 82
  case receiptWrong = 83
  case departed = 84
  case remoteUnreachable = 85
  case targetNotWaiting = 86
}
