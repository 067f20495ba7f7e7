public import EncryptionStatus
import SEVABI

/// What the agreement on live migration depends on, on the source.
public struct AgreementFacts: Hashable, Sendable {
  /// What the guest sees in CPUID 0x40000001, EAX.
  public var features: UInt32
  /// Whether the VMM is told of the guest's hypercalls and of the register: without that a guest that was offered
  /// both speaks to nobody.
  public var handlesExits: Bool
  public var firmware: FirmwareStanding
  /// What the guest itself said.
  public var status: MemoryEncryptionStatus

  public init(
    features: UInt32, handlesExits: Bool, firmware: FirmwareStanding, status: MemoryEncryptionStatus
  ) {
    self.features = features
    self.handlesExits = handlesExits
    self.firmware = firmware
    self.status = status
  }
}

/// Host, firmware and guest agree that the guest may be migrated. Without all three the list of shared pages is
/// not true, and a guest that was migrated by it would find garbage.
///
/// A guest whose memory is not encrypted needs no such list and so no agreement.
public struct MigrationAgreement: Hashable, Sendable {
  /// Who has to agree.
  public enum Party: String, CaseIterable, Hashable, Sendable {
    case host, firmware, guest
  }

  /// Parties as one byte, for the migration's manifest.
  public struct Parties: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    public static let host = Parties(rawValue: 1 << 0)
    public static let firmware = Parties(rawValue: 1 << 1)
    public static let guest = Parties(rawValue: 1 << 2)
    public static let all: Parties = [.host, .firmware, .guest]
  }

  /// Why a party has not agreed.
  public enum Missing: Hashable, Sendable, CustomStringConvertible {
    /// The guest was not offered these bits of CPUID 0x40000001, EAX.
    case hostFeatures(UInt32)
    /// The VMM does not hear the guest's hypercalls or register.
    case hostExits
    /// Never ``FirmwareStanding/none`` or ``FirmwareStanding/agrees``.
    case firmware(FirmwareStanding)
    /// The guest has not written its register, or has taken it back.
    case guestNotReady
    /// The guest reported more ranges than the list holds.
    case guestTooFragmented

    public var party: Party {
      switch self {
      case .hostFeatures, .hostExits: .host
      case .firmware: .firmware
      case .guestNotReady, .guestTooFragmented: .guest
      }
    }

    public var description: String {
      switch self {
      case .hostFeatures(let bits):
        "the guest was not offered live migration (bits 0x\(String(bits, radix: 16)) of CPUID 0x40000001). Start "
          + "it with a VMM that offers it"
      case .hostExits: "the VMM does not hear what the guest says about its pages"
      case .firmware(let standing): standing.description
      case .guestNotReady:
        "the guest's kernel has not said that it is ready (MSR 0x4b564d08). It does so late in its boot, from "
          + "Linux 5.16, if the firmware agreed"
      case .guestTooFragmented:
        "the guest shares its memory in more than \(SharedRegions.maximumCount) pieces. Restart it"
      }
    }
  }

  private static let features = PageStatus.mapRangeFeature | PageStatus.migrationControlFeature

  /// Everything that stands against a migration: host first, then firmware, then guest. Empty if it is agreed.
  public let missing: [Missing]

  public init(_ facts: AgreementFacts) {
    var missing: [Missing] = []
    if facts.status.isEncrypted {
      let absent = Self.features & ~facts.features
      if absent != 0 { missing.append(.hostFeatures(absent)) }
      if absent == 0, !facts.handlesExits { missing.append(.hostExits) }
      if !facts.firmware.agrees { missing.append(.firmware(facts.firmware)) }
      if !facts.status.control.isReady { missing.append(.guestNotReady) }
      if !facts.status.isComplete { missing.append(.guestTooFragmented) }
    }
    self.missing = missing
  }

  public var isReached: Bool { missing.isEmpty }

  /// The parties that have not agreed.
  public var missingParties: Parties {
    var parties: Parties = []
    for reason in missing {
      switch reason.party {
      case .host: parties.insert(.host)
      case .firmware: parties.insert(.firmware)
      case .guest: parties.insert(.guest)
      }
    }
    return parties
  }

  /// Refuses a migration that not all have agreed to.
  public func require() throws(AgreementError) {
    guard isReached else { throw AgreementError(missing: missing) }
  }
}

/// Somebody has not agreed to the migration.
public struct AgreementError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Not empty.
  public let missing: [MigrationAgreement.Missing]

  public var description: String {
    "The migration is not agreed. "
      + missing.map { "The \($0.party.rawValue) is missing: \($0)" }.joined(separator: ". ")
  }
}
