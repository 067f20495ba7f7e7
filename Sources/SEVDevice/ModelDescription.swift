/// What a model says about itself.
public struct ModelDescription: Hashable, Sendable {
  /// The kernel that it plays, as `sevmodeld --profile` names it.
  public let profile: String
  /// SEV is on.
  public let isEnabled: Bool
  /// SEV-ES is on.
  public let hasEncryptedState: Bool
  /// Private guest memory is really encrypted.
  public let isCiphertext: Bool
  /// SEND_UPDATE_VMSA and RECEIVE_UPDATE_VMSA work, which no kernel offers.
  public let hasFirmwareVMSA: Bool
  public let hasMove: Bool
  public let hasCopy: Bool
  /// 22 and 23 are LOCAL_SEND and LOCAL_RECEIVE.
  public let hasLocalMigration: Bool
  /// 22 is INIT2.
  public let hasInitialize2: Bool

  init(features: UInt64, profile: String) {
    typealias Feature = ModelWire.Feature
    self.profile = profile
    isEnabled = features & Feature.enabled != 0
    hasEncryptedState = features & Feature.encryptedState != 0
    isCiphertext = features & Feature.ciphertext != 0
    hasFirmwareVMSA = features & Feature.firmwareVMSA != 0
    hasMove = features & Feature.move != 0
    hasCopy = features & Feature.copy != 0
    hasLocalMigration = features & Feature.localMigration != 0
    hasInitialize2 = features & Feature.initialize2 != 0
  }
}
