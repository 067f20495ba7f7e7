/// What the modelled machine has.
public struct ModelConfiguration: Hashable, Sendable {
  /// Whether KVM offers SEV at all; without it every SEV request is refused with ENOTTY.
  public var isEnabled: Bool
  /// How many address-space identifiers (ASIDs) SEV guests without encrypted state share. Each running guest
  /// holds one, and the target of a LOCAL_RECEIVE needs one of its own until it has received.
  public var asidCount: UInt32
  /// How many ASIDs are set aside for SEV-ES guests; 0 turns SEV-ES off. They are the lowest numbers.
  public var encryptedStateASIDCount: UInt32
  /// What the firmware reports, and what policies and measurements contain.
  public var firmwareVersion: FirmwareVersion

  public init(
    isEnabled: Bool = true, asidCount: UInt32 = 500, encryptedStateASIDCount: UInt32 = 0,
    firmwareVersion: FirmwareVersion = FirmwareVersion(major: 1, minor: 55, build: 21)
  ) {
    self.isEnabled = isEnabled
    self.asidCount = asidCount
    self.encryptedStateASIDCount = encryptedStateASIDCount
    self.firmwareVersion = firmwareVersion
  }
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
}
