/// Kinds of events that the registry tells the journal about, beside refusals, which have their own
/// (``BatonWire/Refusal/journalMessageID``). Each has an entry in units/baton.catalog.
enum RegistryMessageID: String, CaseIterable {
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
}
