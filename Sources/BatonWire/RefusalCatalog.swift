/// What each refusal is called, says and means: for people, for exit codes, for Varlink and for the journal.
///
/// Every switch names every case, so that a new refusal cannot be forgotten here.
extension Refusal {
  /// The case's name; stays the same between versions.
  public var name: String {
    switch self {
    case .batonUsed: "batonUsed"
    case .batonUnknown: "batonUnknown"
    case .batonExpired: "batonExpired"
    case .batonRevoked: "batonRevoked"
    case .batonForeign: "batonForeign"
    case .sourceDestroyed: "sourceDestroyed"
    case .wrongPeer: "wrongPeer"
    case .secondOwner: "secondOwner"
    case .secondSuccessor: "secondSuccessor"
    case .notOwner: "notOwner"
    case .fencedInThisEpoch: "fencedInThisEpoch"
    case .unknownGuest: "unknownGuest"
    case .badGuestName: "badGuestName"
    case .guestLost: "guestLost"
    case .guestEnded: "guestEnded"
    case .malformedRecord: "malformedRecord"
    case .versionMismatch: "versionMismatch"
    case .descriptorMismatch: "descriptorMismatch"
    case .protocolViolation: "protocolViolation"
    case .badManifest: "badManifest"
    case .notAMemfd: "notAMemfd"
    case .sealsMissing: "sealsMissing"
    case .memoryTooShort: "memoryTooShort"
    case .foreignMemory: "foreignMemory"
    case .stateUnreadable: "stateUnreadable"
    case .deadlinePassed: "deadlinePassed"
    case .abortedByOperator: "abortedByOperator"
    case .sourceDeclined: "sourceDeclined"
    case .successorDeclined: "successorDeclined"
    case .peerDied: "peerDied"
    case .peerDisconnected: "peerDisconnected"
    case .takenBack: "takenBack"
    case .quotaExceeded: "quotaExceeded"
    case .settling: "settling"
    case .guestExists: "guestExists"
    case .migrationUnderWay: "migrationUnderWay"
    case .migrationCancelled: "migrationCancelled"
    case .linkLost: "linkLost"
    case .wrongPeerName: "wrongPeerName"
    case .certificateInvalid: "certificateInvalid"
    case .policyForbids: "policyForbids"
    case .agreementMissing: "agreementMissing"
    case .noRoom: "noRoom"
    case .streamDamaged: "streamDamaged"
    case .streamVersion: "streamVersion"
    case .willNotConverge: "willNotConverge"
    case .encryptedStateNotSendable: "encryptedStateNotSendable"
    case .receiptWrong: "receiptWrong"
    case .departed: "departed"
    case .remoteUnreachable: "remoteUnreachable"
    case .targetNotWaiting: "targetNotWaiting"
    }
  }

  /// What was refused and why, what state the guest is in, and what to do. No full stop at the end.
  public var sentence: String {
    switch self {
    case .batonUsed:
      "the baton was used already, so another process has the guest's context; the guest is "
        + "with that process, ask the registry where it stands"
    case .batonUnknown:
      "the registry gave out no such baton; the guest is not changed, attach again to get one"
    case .batonExpired:
      "the baton is too old to be used; the guest stays where it is, start the handoff again"
    case .batonRevoked:
      "the baton was called back because the source takes the guest back; the guest is with its "
        + "source, start the handoff again"
    case .batonForeign:
      "the baton was given to another process; the guest goes to that one, wait for the outcome"
    case .sourceDestroyed:
      "the last reference to the source's VM was closed before the baton was used, and the "
        + "guest's context went with it; the guest is lost, start it anew"
    case .wrongPeer:
      "the process is not of the guest's user and was not allowed; the guest is not changed, "
        + "run the VMM as the guest's user or allow its user in the registry"
    case .secondOwner:
      "the guest has an owner and a second one is never let in; the guest runs on, attach as "
        + "its successor instead"
    case .secondSuccessor:
      "another successor waits for the guest or is receiving it; the guest is not changed, try "
        + "again after the handoff"
    case .notOwner:
      "the process does not own the guest; another process runs it, end this one"
    case .fencedInThisEpoch:
      "the process has owned the guest before or had its baton, and was told to go; the guest "
        + "is with its owner, end this process"
    case .unknownGuest:
      "the registry knows no such guest; nothing was changed, look at the names that batonctl list shows"
    case .badGuestName:
      "a guest's name has 1 to 63 letters, digits, '_', '.' and '-' and begins with a letter or "
        + "digit; nothing was changed, choose such a name"
    case .guestLost:
      "the guest is lost, its context is gone; start it anew"
    case .guestEnded:
      "the guest has ended with its VMM; start it anew if it is wanted"
    case .malformedRecord:
      "a record cannot be read; the guest is not changed, the VMM is at fault and has to connect again"
    case .versionMismatch:
      "the two sides speak no common version of the record protocol; the guest is not changed, "
        + "use binaries that are at most one version apart"
    case .descriptorMismatch:
      "a record came with other descriptors than it announces; the guest is not changed, the "
        + "VMM is at fault and has to connect again"
    case .protocolViolation:
      "a record came that has no place here; the guest is not changed, the VMM is at fault and "
        + "has to connect again"
    case .badManifest:
      "the manifest contradicts itself or the descriptors; the guest runs on at its source, "
        + "mend the source's memory layout"
    case .notAMemfd:
      "a descriptor that must be a memfd is something else; the guest runs on at its source, "
        + "the source has to keep its RAM in memfds"
    case .sealsMissing:
      "a memfd has not the seals that make it safe to map; the guest stays at its source, the "
        + "source has to seal it"
    case .memoryTooShort:
      "a memfd is not as long as was said; the guest stays at its source, the source has to "
        + "offer the whole of it"
    case .foreignMemory:
      "a memfd is not the one that the manifest names; the guest runs on at its source, the "
        + "source has to offer its own RAM"
    case .stateUnreadable:
      "the successor cannot read the state format or a feature that the source writes; the "
        + "guest runs on at its source, use a binary that reads it"
    case .deadlinePassed:
      "a phase took longer than it may; the guest goes on at its source unless batonctl show "
        + "says otherwise, find out what was slow and try again"
    case .abortedByOperator:
      "an operator ended the handoff; the guest goes on at its source, start the handoff again "
        + "when it is wanted"
    case .sourceDeclined:
      "the source does not take part in the handoff; the guest runs on there, see its reason and try again"
    case .successorDeclined:
      "the successor does not take part in the handoff; the guest goes on at its source, see "
        + "its reason and try again"
    case .peerDied:
      "the other side's process has ended; the guest goes on at its source as long as that one "
        + "lives, look why it ended and try again"
    case .peerDisconnected:
      "the other side's connection to the registry broke; the guest goes on at its source, try "
        + "again when it is back"
    case .takenBack:
      "the source took the guest back; the guest runs there, look at the handoff's reason and try again"
    case .quotaExceeded:
      "a quota of this user is used up; nothing was changed, end what is not needed or raise the quota"
    case .settling:
      "the registry found no journal and gives VMMs time to come back; guests run on, try again in a moment"
    case .guestExists:
      "the host that the guest is to go to has a guest of this name that is not over; the guest "
        + "runs on at its source, end or settle the other one first"
    case .migrationUnderWay:
      "a migration of the guest to another host is under way; the guest is not changed, wait for "
        + "its end or end it with batonctl abort"
    case .migrationCancelled:
      "the migration was ended before the source gave the guest up; the guest runs on at its "
        + "source, start the migration again when it is wanted"
    case .linkLost:
      "the connection between the two hosts broke before the source gave the guest up; the guest "
        + "runs on at its source, mend the connection and try again"
    case .wrongPeerName:
      "the certificate of the other host is not made out to a name that is allowed; the guest runs "
        + "on at its source, look at the certificate and at the names that baton-remote allows"
    case .certificateInvalid:
      "a certificate of the other host cannot be trusted; the guest runs on at "
        + "its source, look at the certificate that is named"
    case .policyForbids:
      "the guest's policy does not allow this migration; the guest runs on at its source, see which "
        + "policy bit is named"
    case .agreementMissing:
      "host, firmware and guest do not all agree to migration; the guest runs on at its source, see "
        + "which of the three is named"
    case .noRoom:
      "the target host has no room for the guest; the guest runs on at its source, make room for "
        + "the memory or the key slot that is named"
    case .streamDamaged:
      "what came from the other host is not what was sent: swapped, repeated, cut short or changed; "
        + "the guest runs on at its source, find out what stands between the hosts"
    case .streamVersion:
      "the two hosts speak no common version of the migration stream; the guest runs on at its "
        + "source, use binaries that are at most one version apart"
    case .willNotConverge:
      "the guest changes its memory faster than it can be sent, or longer than allowed; the guest "
        + "runs on at its source, slow it down or allow a longer pause"
    case .encryptedStateNotSendable:
      "the kernel has no way to send or receive the encrypted state of this guest's vCPUs; the "
        + "guest runs on at its source, use the local handoff or stop the guest"
    case .receiptWrong:
      "the receipt does not fit the lock of this arrival, so the source's registry did not give the "
        + "guest to it; the guest waits paused, ask the source's registry with batonctl settle"
    case .departed:
      "this host gave the guest to another one and does not run it any more; ask that host, or run "
        + "batonctl settle, before a guest of this name is started here"
    case .remoteUnreachable:
      "the other host, or the sidecar that connects to it, cannot be reached; the guest is not "
        + "changed, see whether baton-remote runs and listens on both hosts"
    case .targetNotWaiting:
      "no VMM waits for this guest on the other host; the guest runs on at its source, start one "
        + "there with baton-vmm --incoming"
    }
  }

  /// The exit status of a program that ends because of this, with the meaning that `batonctl` gives the number:
  /// 1 nothing was tried, 3 the guest is safe with its owner, 4 lost, 7 not allowed, 8 no such guest, 10 another
  /// owner or handoff is there, 11 where the guest stands must be asked for, 12 the guest has ended.
  public var exitCode: Int32 {
    switch self {
    case .badGuestName, .quotaExceeded, .settling: 1
    case .batonExpired, .batonRevoked, .batonForeign, .notOwner, .fencedInThisEpoch, .malformedRecord,
      .versionMismatch, .descriptorMismatch, .protocolViolation, .badManifest, .notAMemfd, .sealsMissing,
      .memoryTooShort, .foreignMemory, .stateUnreadable, .abortedByOperator, .sourceDeclined,
      .successorDeclined, .peerDisconnected, .takenBack, .batonUnknown, .guestExists, .migrationCancelled,
      .linkLost, .wrongPeerName, .certificateInvalid, .policyForbids, .agreementMissing, .noRoom,
      .streamDamaged, .streamVersion, .willNotConverge, .encryptedStateNotSendable, .remoteUnreachable,
      .targetNotWaiting:
      3
    case .sourceDestroyed, .guestLost: 4
    case .wrongPeer: 7
    case .unknownGuest: 8
    case .secondOwner, .secondSuccessor, .migrationUnderWay: 10
    case .batonUsed, .deadlinePassed, .peerDied, .receiptWrong, .departed: 11
    case .guestEnded: 12
    }
  }

  /// Whether a process that has the guest, or its context, has to give it up when it is told this. All the
  /// others are about a connection or the moment: the guest stays where it is, and its process comes again.
  public var endsOwnership: Bool {
    switch self {
    case .batonUsed, .batonUnknown, .batonExpired, .batonRevoked, .batonForeign, .sourceDestroyed,
      .wrongPeer, .secondOwner, .secondSuccessor, .notOwner, .fencedInThisEpoch, .badGuestName, .guestLost,
      .guestEnded, .takenBack, .guestExists, .migrationCancelled, .departed:
      true
    case .unknownGuest, .malformedRecord, .versionMismatch, .descriptorMismatch, .protocolViolation,
      .badManifest, .notAMemfd, .sealsMissing, .memoryTooShort, .foreignMemory, .stateUnreadable,
      .deadlinePassed, .abortedByOperator, .sourceDeclined, .successorDeclined, .peerDied,
      .peerDisconnected, .quotaExceeded, .settling, .migrationUnderWay, .linkLost, .wrongPeerName,
      .certificateInvalid, .policyForbids, .agreementMissing, .noRoom, .streamDamaged, .streamVersion,
      .willNotConverge, .encryptedStateNotSendable, .receiptWrong, .remoteUnreachable, .targetNotWaiting:
      false
    }
  }

  /// The Varlink error that answers a call refused for this reason.
  public var varlinkError: String {
    switch self {
    case .batonUsed, .batonUnknown, .batonExpired, .batonRevoked, .batonForeign, .notOwner,
      .fencedInThisEpoch, .malformedRecord, .versionMismatch, .descriptorMismatch, .protocolViolation,
      .abortedByOperator, .peerDied, .peerDisconnected, .takenBack, .settling:
      "io.baton.Registry.RefusedByRegistry"
    case .sourceDestroyed, .guestLost:
      "io.baton.Registry.GuestLost"
    case .wrongPeer:
      "io.baton.Registry.NotAllowed"
    case .secondOwner, .secondSuccessor:
      "io.baton.Registry.HandoffInProgress"
    case .unknownGuest, .badGuestName:
      "io.baton.Registry.UnknownGuest"
    case .guestEnded:
      "io.baton.Registry.GuestEnded"
    case .badManifest, .notAMemfd, .sealsMissing, .memoryTooShort, .foreignMemory, .sourceDeclined:
      "io.baton.Registry.RefusedBySource"
    case .stateUnreadable, .successorDeclined:
      "io.baton.Registry.RefusedBySuccessor"
    case .deadlinePassed:
      "io.baton.Registry.DeadlinePassed"
    case .quotaExceeded:
      "io.baton.Registry.QuotaExceeded"
    case .migrationUnderWay:
      "io.baton.Registry.MigrationInProgress"
    case .departed:
      "io.baton.Registry.GuestDeparted"
    case .guestExists, .migrationCancelled, .linkLost, .wrongPeerName, .certificateInvalid, .policyForbids,
      .agreementMissing, .noRoom, .streamDamaged, .streamVersion, .willNotConverge,
      .encryptedStateNotSendable, .receiptWrong, .remoteUnreachable, .targetNotWaiting:
      "io.baton.Registry.MigrationRefused"
    }
  }

  /// The `MESSAGE_ID` of journal entries about this refusal: 128 bits, 32 hexadecimal digits, never changed.
  public var journalMessageID: String {
    switch self {
    case .batonUsed: "d09c1c6b635f4954ace0d6b5b236822c"
    case .batonUnknown: "ed06934a35214aa3a7acae143e3ddb73"
    case .batonExpired: "540d15f9d5894c26a023907c4337fe1d"
    case .batonRevoked: "a4b7f4c406be4d91952ccf1a49606c30"
    case .batonForeign: "9e1a2cac92964ef1ad094d9cf12c2626"
    case .sourceDestroyed: "2f31685780c34fffa99389fbbff5e18a"
    case .wrongPeer: "040d267cfb4f495397ed83e8a9052ab0"
    case .secondOwner: "ba08bf4bcdf543148f9e97424b56e3bb"
    case .secondSuccessor: "1e204494b42149b3b82ccb351e50d9b9"
    case .notOwner: "dea72b976a024ed9ae8458bfc9a6c339"
    case .fencedInThisEpoch: "3e8f69ed7bb5426193dfd606b3bb0dea"
    case .unknownGuest: "16831f3af8354b69a24067b40692c758"
    case .badGuestName: "919c69323078428592ef4eba3eb3cbb2"
    case .guestLost: "15869a7a866d42918403c4634e5cb6c4"
    case .guestEnded: "0846b766c20f49a7b75141234b370c6b"
    case .malformedRecord: "beb06e1fcbd24c999fc9e7f7281eb8e1"
    case .versionMismatch: "80f6fa49aa8f470cba70852b54adde26"
    case .descriptorMismatch: "ecd57d7f60554f9eb729a39059266f1b"
    case .protocolViolation: "96d591e00d014d31876d1e1c0554d104"
    case .badManifest: "9d47ef1e778d461790d786426a1f945c"
    case .notAMemfd: "221e20a267a34cb28aa3818d4fb686f8"
    case .sealsMissing: "bae478a2b2a548788da9847b3680d41d"
    case .memoryTooShort: "fb1c854e71554d2bb58625762deab5d4"
    case .foreignMemory: "0ec2200ccddf49938f08e3d505c245e0"
    case .stateUnreadable: "15d9e8dd8fef49e08e7da2a1267d4466"
    case .deadlinePassed: "8eac0fa82acb4cad8bbebd9bf7bba89a"
    case .abortedByOperator: "5f913a9ff8e7465d8b0091be96989182"
    case .sourceDeclined: "69cdd5cd2f8340d0b8ffdbc2a4276002"
    case .successorDeclined: "0c8343abed3145f5b3be5572c63b1b08"
    case .peerDied: "c2ce6eadfba146c5a2c0167885e77d75"
    case .peerDisconnected: "f363a584a6954901963195011cf23e36"
    case .takenBack: "e7c424680ebb4affaa578de7ce449add"
    case .quotaExceeded: "ae026cdabfc64e66960e4ebb08568c0c"
    case .settling: "f3cc03f69f49403ea62a0bb7a5092365"
    case .guestExists: "1d318afb24b445a7b69925ff5ee0bcce"
    case .migrationUnderWay: "aaefdd6851e042aba21dc2a11c475d82"
    case .migrationCancelled: "e1b5333ad5294c2dadd97a22359b51d0"
    case .linkLost: "92a9c1c9ca464ed291184c0da99341ce"
    case .wrongPeerName: "78c19f394dbe46eba943f5026ded6ea7"
    case .certificateInvalid: "f0144b1291e1453fa336ef2da5cceefb"
    case .policyForbids: "fc25e0b36ba24e7cb8e4ea4668fff8f3"
    case .agreementMissing: "1ea9cd13e7fc4d2399796328147738e6"
    case .noRoom: "e95232016f7f46d1866a0acaf10e8460"
    case .streamDamaged: "382c625b2a1e4c73914ecdfbb171cbdd"
    case .streamVersion: "896278247fe843d4bf7a92d50fbb75db"
    case .willNotConverge: "7474f6b69a2644feae63130f3d7ad4b8"
    case .encryptedStateNotSendable: "a3cbad58255e4ba9b849a39a3497e3a1"
    case .receiptWrong: "13fa39a0f2c845d48524b18d0323dda1"
    case .departed: "3762740ae8cd431f90880b9a731f16ab"
    case .remoteUnreachable: "9cd9ecb4e6414574ae77722eb71dcbdd"
    case .targetNotWaiting: "d7572c794bdd4df1ab580e239766f4d5"
    }
  }
}
