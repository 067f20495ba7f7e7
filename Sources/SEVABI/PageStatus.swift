/// What a guest tells its hypervisor about its pages, and how.
public enum PageStatus {
  /// `KVM_HC_MAP_GPA_RANGE`, and `KVM_HC_PAGE_ENC_STATUS` of the v10 series.
  public static let hypercall: UInt64 = 12
  /// In the hypercall's third argument: the pages are encrypted. (Bits 0 to 3 are the page size. The v10 series
  /// has only a 1 for encrypted and a 0 for not.)
  public static let encryptedAttribute: UInt64 = 1 << 4
  /// `MSR_KVM_MIGRATION_CONTROL`, and `MSR_KVM_SEV_LIVE_MIGRATION` of the v10 series.
  public static let migrationControlMSR: UInt32 = 0x4B56_4D08
  /// Bit 0 of the MSR: the guest keeps its hypervisor informed, so that it may be migrated.
  public static let migrationReady: UInt64 = 1
  /// CPUID leaf 0x4000_0001, EAX: `KVM_FEATURE_HC_MAP_GPA_RANGE`. KVM sets neither this bit nor the next one: a
  /// VMM that handles hypercall and MSR does, so that its guest uses them.
  public static let mapRangeFeature: UInt32 = 1 << 16
  /// CPUID leaf 0x4000_0001, EAX: `KVM_FEATURE_MIGRATION_CONTROL`.
  public static let migrationControlFeature: UInt32 = 1 << 17
}
