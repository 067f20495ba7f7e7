public import BatonWire

/// Versions of the migration stream: N reads N and N-1. They count apart from those of the registry's records.
public enum StreamVersion {
  /// What this code speaks. There is no version before 1.
  public static let spoken = ProtocolVersion(oldest: 1, newest: 1)
}

/// Optional parts of the stream, as bits. The source offers and requires, the target agrees.
public struct StreamFeatures: OptionSet, Hashable, Sendable {
  public let rawValue: UInt64

  public init(rawValue: UInt64) { self.rawValue = rawValue }

  /// Pages as packets of SEND_UPDATE_DATA; every SEV guest needs it.
  public static let encryptedPages = StreamFeatures(rawValue: 1 << 0)
  /// Encrypted register states as packets of SEND_UPDATE_VMSA; every SEV-ES guest needs it.
  public static let saveAreas = StreamFeatures(rawValue: 1 << 1)

  /// All that this code speaks.
  public static let spoken: StreamFeatures = [.encryptedPages, .saveAreas]
}

/// What the source wants.
public enum MigrationIntent: UInt8, Hashable, Sendable, CaseIterable {
  /// Only to learn whether it would work and how long it would take; the guest stays.
  case plan = 1
  case migrate = 2
}

/// What a guest is to the hardware.
public enum SEVKind: UInt8, Hashable, Sendable, CaseIterable {
  /// A plain KVM guest: all pages travel as they are.
  case none = 0
  /// Encrypted memory.
  case sev = 1
  /// Encrypted memory and registers.
  case sevES = 2

  /// Features without which such a guest cannot travel.
  public var neededFeatures: StreamFeatures {
    switch self {
    case .none: []
    case .sev: [.encryptedPages]
    case .sevES: [.encryptedPages, .saveAreas]
    }
  }
}
