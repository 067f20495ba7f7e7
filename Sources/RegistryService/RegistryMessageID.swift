/// Kinds of events that the registry tells the journal about, beside refusals, which have their own
/// (``BatonWire/Refusal/journalMessageID``). Each has an entry in units/baton.catalog.
public enum RegistryMessageID: String, CaseIterable, Sendable {
  /// The registry is up.
  case ready = "f47c1c0a3d0b4d0d9c7b5a0f6a1e2b31"
  /// The registry goes down.
  case stopping = "0b9a6f1e58a24d5fb3b1c6f0d7e4a952"
  /// A registry without journal has heard everybody.
  case settled = "8d2e7c55b1f64c1fa0e35d9b4c6f7a13"
  /// A descriptor came along that has no place here.
  case strayDescriptor = "5e1f0c9d7a3b4e62964d8a2b1c0f3e74"
  /// A guest in handoff was found in the descriptor store.
  case custodyRestored = "c3a4e8b2096f4d7b8e1d5f7a2b9c0d65"
  /// What the descriptor store held of a guest in handoff is of no use.
  case custodyDropped = "71d5b0e3f2c84a9d9b6e0c8f4a7d1e26"
  /// Descriptors of a guest do not go into the descriptor store.
  case storeRefused = "a9f3d6c1e4b7482c8d0a5b9e7f1c2d83"
  /// There is no descriptor store, though there is a service manager.
  case storeUnavailable = "2c7e9a4f0b6d41e3a5c8d1f3b7e90a48"
  /// A guest has its first owner.
  case ownerRegistered = "a4ef9ae1032f44b38d956a562cc45fc4"
  /// A successor has come.
  case successorAttached = "3992248f916b4273a51984b57387b4c0"
  /// A handoff begins.
  case handoffStarted = "75e27658ea81428c92598ef9a6f125c0"
  /// The guest was stopped and its state is in custody.
  case handoffStaged = "3238557979374eb8a728edf0573d9d85"
  /// The guest waits in custody for the process that replaces its owner.
  case guestParked = "6a8c72e291d74a96895476624d8c4b8e"
  /// A successor has the baton.
  case batonClaimed = "ba7b7b373926474584d49d2cc41a8045"
  /// A successor owns the guest.
  case handoffCommitted = "8fa429eb17564995936e81ecfea7b239"
  /// The owner runs the guest.
  case guestRuns = "87257ec094fd4623b0454d89ad7a3fec"
  /// The source is to take the guest back.
  case handoffRollingBack = "4003ad26a8664d90a699debfa4c4ff3b"
  /// The source has the guest again.
  case handoffTakenBack = "d79228446090497bbf545dfdbe51c3d2"
  /// An attempt ended before the guest was staged.
  case handoffAborted = "29da16e44d19430db3de01afe10ff705"
  /// A guest cannot be kept.
  case guestLost = "7d5f3ab96eeb43aaa2117cb36ebe4207"
  /// A VMM has ended its guest.
  case guestEnded = "bb5cdcb1764f411fa3f69b8a7e131fd5"
  /// A VMM ended without a word, and its guest with it.
  case guestDied = "a024d701cabe407cbea90fcb1f0200b9"
  /// A VMM's process has ended.
  case processEnded = "649754ebd7fb4355ac3f7aab9cc10313"
  /// A former owner has let go.
  case sourceReleased = "5497b714b61449bd91c68d967b2f38d3"
  /// The fence has ended a process.
  case processFenced = "8956b64c9e2c4875b9da681bc9cfde23"
  /// The fence cannot end a process.
  case fenceFailed = "729f50331578408395340140901b8428"
  /// A guest needs an operator.
  case alarmRaised = "1cd893f5f996453db5003e82d4ada4fa"
  /// A guest does not need an operator any more.
  case alarmCleared = "6e7ef1457704431fb80ef853747d49d6"
  /// A slot failed, and is refused from now on.
  case slotBarred = "5d4c410207a94a089fad9175e5336500"
  /// Slots that were barred may try again.
  case slotsAllowed = "25e95a5b53e849b2a47d0e054d2cec55"
  /// An operator wants an upgrade.
  case upgradeWanted = "19fd1d0484124afda57a9613d1801c94"
  /// A guest that is over was forgotten.
  case guestForgotten = "e4f732c6501146ddb1c8d73f2a531ee2"
  /// The journal cannot be written.
  case journalTrouble = "02db1910e1b14c1193071fe721b24995"
  /// The journal cannot be believed.
  case journalDamaged = "9595c2b15aaa48f3a0ce76e431175ecb"
  /// The registry cannot start.
  case cannotStart = "13594b0d4c4c4114b04bf2eff2c21d96"
  /// A connection could not be taken.
  case connectionTrouble = "e4691b35847444b78adcc82ebe4d68c4"
  /// An operator's program broke the protocol.
  case operatorViolation = "a8fb88e81094443193eb11717da1b5fb"
  /// A setting was ignored.
  case settingIgnored = "fe90cdec6373469c866a684dfaad5e11"
  /// A migration to another host, or its plan, begins.
  case migrationStarted = "fb0b2ed8ac4e41fc80b8e558b13bbe72"
  /// A guest stands still, and its VMM may give it to another host.
  case guestDeparting = "0fe1564e41b3482594e9e04d1a2e3dc7"
  /// A guest is another host's.
  case guestDeparted = "4b1cb9129fac4337abae7d3266843ed5"
  /// A migration is over, and the guest is here.
  case migrationStayed = "8223c22d43f94aab98ba4dbb93849429"
  /// A guest that has left runs on the other host.
  case departureConfirmed = "78f6488ad42847ff86d0b5830cb8f863"
  /// A guest comes from another host.
  case guestArriving = "38812aef43a445bfa5405923952beda3"
  /// All of a guest has come, and its receipt is missing.
  case guestArrived = "3b957e40d0a04d09839a3d11f515eb9f"
  /// A guest that came may run.
  case arrivalCommitted = "584bb11b2498475d9d44424d645a1498"
  /// Nothing came of an arrival.
  case arrivalFailed = "8559c148b03e43608106f44702d2e9f0"
}
