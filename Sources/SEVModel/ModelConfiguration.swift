package import SEVCertificates

/// What the modelled machine has.
public struct ModelConfiguration: Hashable, Sendable {
  /// Whether KVM offers SEV at all; without it every SEV request is refused with ENOTTY.
  public var isEnabled: Bool
  /// Which kernel it runs.
  public var profile: KernelProfile
  /// How many address-space identifiers (ASIDs) SEV guests without encrypted state share. Each running guest
  /// holds one, and the target of a LOCAL_RECEIVE needs one of its own until it has received.
  public var asidCount: UInt32
  /// How many ASIDs are set aside for SEV-ES guests; 0 turns SEV-ES off. They are the lowest numbers.
  public var encryptedStateASIDCount: UInt32
  /// What the firmware reports, and what policies and measurements contain.
  public var firmwareVersion: FirmwareVersion
  /// Of the firmware that made the platform's keys, which is in their certificates: an update of the firmware
  /// keeps them until PEK_GEN. nil for ``firmwareVersion``.
  public var platformVersion: FirmwareVersion?
  /// Whether KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM is there.
  public var offersMove: Bool
  /// Whether only the second of the three local-migration patches is applied, which refuses SEV-ES guests.
  public var localMigrationWithoutEncryptedState: Bool
  /// An extension that no kernel has: SEND_UPDATE_VMSA and RECEIVE_UPDATE_VMSA, whose numbers the kernel
  /// reserves and refuses. See ``ModelHost`` for their struct.
  public var firmwareVMSA: Bool
  /// Whether private guest memory is really encrypted. Otherwise it stays readable, so that real vCPUs can
  /// execute it.
  public var ciphertext: Bool
  /// Whether the Secure Processor answers.
  public var processor: ProcessorHealth

  /// - Parameter offersMove: nil for what the profile's kernel has. The v10 series never has it.
  public init(
    isEnabled: Bool = true, profile: KernelProfile = .rfc, asidCount: UInt32 = 500,
    encryptedStateASIDCount: UInt32 = 0,
    firmwareVersion: FirmwareVersion = FirmwareVersion(major: 1, minor: 55, build: 21),
    platformVersion: FirmwareVersion? = nil, offersMove: Bool? = nil,
    localMigrationWithoutEncryptedState: Bool = false, firmwareVMSA: Bool = false, ciphertext: Bool = false,
    processor: ProcessorHealth = .healthy
  ) {
    self.isEnabled = isEnabled
    self.profile = profile
    self.asidCount = asidCount
    self.encryptedStateASIDCount = encryptedStateASIDCount
    self.firmwareVersion = firmwareVersion
    self.platformVersion = platformVersion
    self.offersMove = profile.hasMove && (offersMove ?? true)
    self.localMigrationWithoutEncryptedState = localMigrationWithoutEncryptedState
    self.firmwareVMSA = firmwareVMSA
    self.ciphertext = ciphertext
    self.processor = processor
  }

  /// Whether SEV-ES guests can be made.
  public var offersEncryptedState: Bool { isEnabled && encryptedStateASIDCount > 0 }
}

/// The firmware's API version and build number.
public struct FirmwareVersion: Hashable, Sendable {
  public var major: UInt8
  public var minor: UInt8
  public var build: UInt8

  public init(major: UInt8, minor: UInt8, build: UInt8) {
    self.major = major
    self.minor = minor
    self.build = build
  }

  /// The version without the build, as it is in certificates.
  package var api: APIVersion { APIVersion(major: major, minor: minor) }
}
