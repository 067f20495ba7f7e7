import SEVABI

/// The guest's register MSR_KVM_MIGRATION_CONTROL, by which it says that it keeps its hypervisor informed about
/// its pages. KVM does not implement it: the VMM keeps it.
public struct MigrationControl: Hashable, Sendable {
  /// The register's number.
  public static let register = PageStatus.migrationControlMSR

  /// What the guest reads.
  public private(set) var value: UInt64

  /// The value that a guest starts with: not ready if its memory is encrypted, since then it has something to say
  /// first; ready otherwise.
  public init(isEncrypted: Bool) {
    value = isEncrypted ? 0 : PageStatus.migrationReady
  }

  /// A value that was saved; nothing if the register cannot have it.
  public init?(value: UInt64) {
    guard Self.isPossible(value) else { return nil }
    self.value = value
  }

  /// The guest may be migrated, as far as it is concerned.
  public var isReady: Bool { value & PageStatus.migrationReady != 0 }

  /// The guest writes the register.
  ///
  /// - Returns: Whether it may; otherwise it gets a general-protection fault and nothing changes.
  public mutating func write(_ value: UInt64) -> Bool {
    guard Self.isPossible(value) else { return false }
    self.value = value
    return true
  }

  private static func isPossible(_ value: UInt64) -> Bool { value & ~PageStatus.migrationReady == 0 }
}
